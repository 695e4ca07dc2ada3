"""`ddbench leaderboard`: committed records checked, added, and rendered into their pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import explained, made_folder

if TYPE_CHECKING:
    from ddbench.api.record import Record

app = typer.Typer(help="Committed leaderboards: check, add, render.", no_args_is_help=True)
FolderArgument = Annotated[
    Path, typer.Argument(help="A leaderboard (a folder with records/), or a folder of these.")
]


@app.command()
def check(folder: FolderArgument = Path("leaderboards"), data_root: DataRootOption = None) -> None:
    """Say what keeps the records from being accepted; exit code 1 if anything does."""
    from ddbench.config.session import open_session
    from ddbench.reporting import leaderboards as boards

    session = open_session("cpu", "fp32", data_root)
    found = boards.boards_of(folder)
    faults = [f for b in found for f in boards.check(b, session.registry, session.ctx.data_root)]
    if not faults:
        faults = [f"{path} is stale: `ddbench leaderboard render`" for path in boards.stale(folder)]
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    count = sum(len(list((board / boards.RECORDS).glob("*.json"))) for board in found)
    told = f"{format_count(count, 'record')} in {format_count(len(found), 'leaderboard')}"
    typer.echo(f"{told} {'is' if count == 1 else 'are'} whole")


@app.command()
def add(
    board: Annotated[Path, typer.Argument(help="The leaderboard's folder, made if need be.")],
    records: Annotated[
        list[str] | None, typer.Argument(help="Records: files, keys, or the starts of keys.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="All finished cells of a suite file.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="A profile of the suite.")] = "",
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Copy finished records into a leaderboard, with checksums, and render its table."""
    from ddbench.cli.inspect import find_record
    from ddbench.reporting import leaderboards as boards
    from ddbench.reporting.reproduce import refuse_altered
    from ddbench.store.files import write_whole
    from ddbench.store.records import Records

    found = [find_record(name, cache) for name in records or ()]
    for record in found:
        refuse_altered(record)
        _refuse_failed(record)
    if suite is not None:
        found += _finished(suite, profile, data_root, cache)
    if not found:
        raise DDBenchError(
            "no records to add", "expected: records, or --suite FILE",
            hint=f"ddbench leaderboard add {board} --suite benchmarks/table4.toml --profile cpu",
        )  # fmt: skip
    made_folder(board)
    with explained(board):
        for record in found:
            boards.add(board, record)
        whole = list(Records(board / boards.RECORDS).all())
        write_whole(board / boards.TABLE, boards.table_text(whole))
    typer.echo(
        f"{board} has {format_count(len(whole), 'record')}; now `ddbench leaderboard check {board}`"
    )


def _refuse_failed(record: Record) -> None:
    if record.status != "ok":
        raise DDBenchError(
            f"{record.file_name} is of a run that failed ({record.status})",
            "expected: records of finished cells",
            hint="`ddbench run` tries failed cells again",
        )


def _finished(
    suite: Path, profile: str, data_root: Path | None, cache: Path | None
) -> list[Record]:
    """Of a suite's cells those with a number, under the suite's names."""
    from ddbench.cli.suite_records import of_suite
    from ddbench.store.cache import find_cache
    from ddbench.store.records import read_folder

    folder = find_cache(cache) / "records"
    found = [record for _, record in read_folder(folder) if record.status == "ok"]
    chosen, *_ = of_suite(found, suite, profile, [], data_root, cache)
    if not chosen:
        raise DDBenchError(
            f"no cell of {suite} is finished", f"looked in {folder}",
            hint=f"ddbench run {suite}" + (f" --profile {profile}" if profile else ""),
        )  # fmt: skip
    return chosen


@app.command()
def render(
    folder: FolderArgument = Path("leaderboards"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a page is stale.")
    ] = False,
) -> None:
    """Render README.md and every table.md from the records."""
    from ddbench.reporting import leaderboards as boards

    with explained(folder):
        changed = boards.stale(folder) if check else boards.write_pages(folder)
    for path in changed:
        typer.echo(f"{'stale: ' if check else 'wrote '}{path}", err=check)
    if check and changed:
        raise typer.Exit(1)
    if not changed:
        typer.echo("all pages are what their records say")
