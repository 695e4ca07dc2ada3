"""`ddbench cache`: lists what is stored, checks it, and removes what no record needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption
from ddbench.cli.outputs import make_table

if TYPE_CHECKING:
    from ddbench.store.cache import Cache

app = typer.Typer(help="The artifact cache: ls, verify, gc.", no_args_is_help=True)


def _open_cache(cache: Path | None) -> Cache:
    """Opens the cache folder; does not make one.

    Raises:
        DDBenchError: there is none.
    """
    from ddbench.store.cache import Cache, find_cache

    root = find_cache(cache).expanduser()
    hint = "--cache DIR names another place"
    if root.is_dir() and not (root / "artifacts").is_dir():
        fact = "expected: a folder with artifacts/ in it"
        raise DDBenchError(f"{root} is no cache", fact, hint=hint)
    if not root.exists():
        fact = "the first `ddbench run` makes the cache"
        raise DDBenchError(f"no folder {root}", fact, hint=hint)
    return Cache(root)


@app.command()
def ls(cache: CacheOption = None) -> None:
    """List artifacts: stage, key, size, and the time that making them took."""
    import json

    from rich.console import Console

    store = _open_cache(cache)
    view = make_table("stage", "key", "MiB", "seconds", "made", right=("MiB", "seconds"))
    total = 0
    for stage, key, folder in store.entries():
        size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
        total += size
        try:
            card = json.loads((folder / "card.json").read_text())
            seconds, made = f"{card['cost']['seconds']:.1f}", card["created"]
        except (OSError, ValueError, KeyError):
            seconds, made = "?", "damaged"
        view.add_row(stage, key, f"{size / 2**20:.1f}", seconds, made)
    Console().print(view)
    typer.echo(f"{total / 2**20:.1f} MiB in {store.root}")


@app.command()
def verify(cache: CacheOption = None) -> None:
    """Compare every artifact with its checksum. Exit code 1 if one is damaged."""
    store = _open_cache(cache)
    faults = store.verify()
    for stage, key, fault in faults:
        typer.echo(f"damaged: {stage} {key}: {fault}")
    if faults:
        typer.echo("the next run that needs one sets it aside and makes it again")
        raise typer.Exit(1)
    typer.echo(f"{format_count(sum(1 for _ in store.entries()), 'artifact')} checked, all whole")


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    cache: CacheOption = None,
) -> None:
    """Remove artifacts that no record names and nothing read for a day, and damaged ones.

    Drafts and unfinished work are removed too. Records are kept, and so is the work of running
    processes.
    """
    from ddbench.store.records import Records

    store = _open_cache(cache)
    keep = {key for stage, key, _ in store.entries() if stage in ("data", "whitening")}
    for record in Records(store.root / "records").all():
        keep.update(*record.keys.values())
    count, freed = store.collect(keep, dry_run)
    verb = "would free" if dry_run else "freed"
    typer.echo(f"{verb} {freed / 2**20:.1f} MiB: {format_count(count, 'folder')}")
