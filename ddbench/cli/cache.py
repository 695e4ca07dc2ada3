"""`ddbench cache`: what is stored, whether it is whole, and throwing away what no record needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption

if TYPE_CHECKING:
    from ddbench.store.cache import Cache

app = typer.Typer(help="The artifact cache: ls, verify, gc.", no_args_is_help=True)


def _opened(cache: Path | None) -> Cache:
    """The cache folder; one that is not there is not made.

    Raises:
        DDBenchError: there is none.
    """
    from ddbench.store.cache import Cache, find_cache

    root = find_cache(cache).expanduser()
    if root.is_dir() and not (root / "artifacts").is_dir():
        raise DDBenchError(f"{root} is no cache", "expected: a folder with artifacts/ in it",
                           hint="--cache DIR names another place")  # fmt: skip
    if not root.exists():
        raise DDBenchError(f"no folder {root}", "the first `ddbench run` makes the cache",
                           hint="--cache DIR names another place")  # fmt: skip
    return Cache(root)


@app.command()
def ls(cache: CacheOption = None) -> None:
    """List artifacts: stage, key, size, what they cost to make."""
    import json

    from rich.console import Console
    from rich.table import Table

    store = _opened(cache)
    view = Table(box=None, pad_edge=False)
    for column in ("stage", "key", "MiB", "seconds", "made"):
        view.add_column(column, justify="right" if column in ("MiB", "seconds") else "left")
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
    """Compare every artifact with its checksum; exit code 1 if one is damaged."""

    store = _opened(cache)
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
    """Remove what no record names, if nothing touched it for a day, and what is damaged.

    Drafts and unfinished work go too. Records stay, and so does what a running process is at.
    """
    from ddbench.store.records import Records

    store = _opened(cache)
    keep = {key for r in Records(store.root / "records").all() for keys in r.keys.values()
            for key in keys}  # fmt: skip
    keep |= {key for stage, key, _ in store.entries() if stage in ("data", "whitening")}
    count, freed = store.collect(keep, dry_run)
    verb = "would free" if dry_run else "freed"
    typer.echo(f"{verb} {freed / 2**20:.1f} MiB: {format_count(count, 'folder')}")
