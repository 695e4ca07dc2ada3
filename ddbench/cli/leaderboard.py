"""`ddbench leaderboard`: checks and adds committed records, and renders their pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import explain_faults, make_folder
from ddbench.cli.records import find_folders, find_record, find_suite_records

if TYPE_CHECKING:
    from ddbench.api.record import Record

app = typer.Typer(help="Committed leaderboards: check, add, render.", no_args_is_help=True)
FolderArgument = Annotated[
    Path, typer.Argument(help="A leaderboard (a folder with records/), or a folder of these.")
]


@app.command()
def check(folder: FolderArgument = Path("leaderboards"), data_root: DataRootOption = None) -> None:
    """Check that the records can be accepted. Exit code 1 if anything speaks against it."""
    from ddbench.config.session import open_session
    from ddbench.reporting import leaderboards as boards

    session = open_session("cpu", "fp32", data_root)
    folders = boards.find_boards(folder)
    registry, root = session.registry, session.ctx.data_root
    faults = [fault for board in folders for fault in boards.check(board, registry, root)]
    if not faults:
        faults = [
            f"{path} is stale: `ddbench leaderboard render`" for path in boards.find_stale(folder)
        ]
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    count = sum(len(list((board / boards.RECORDS).glob("*.json"))) for board in folders)
    records = f"{format_count(count, 'record')} in {format_count(len(folders), 'leaderboard')}"
    typer.echo(f"{records} {'is' if count == 1 else 'are'} whole")


@app.command()
def add(
    board: Annotated[Path, typer.Argument(help="Folder of the leaderboard, made if need be.")],
    records: Annotated[
        list[str] | None, typer.Argument(help="Records: files, keys, or the starts of keys.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="Add all finished cells of a suite file.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="A profile of the suite.")] = "",
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Copy finished records into a leaderboard, with checksums, and render its table."""
    from ddbench.reporting import leaderboards as boards
    from ddbench.reporting.reproduce import refuse_altered
    from ddbench.store.files import write_whole
    from ddbench.store.records import Records

    chosen = [find_record(name, cache) for name in records or ()]
    for record in chosen:
        refuse_altered(record)
        _refuse_failed(record)
    if suite is not None:
        chosen += _find_finished(suite, profile, data_root, cache)
    if not chosen:
        raise DDBenchError(
            "no records to add",
            "expected: records, or --suite FILE",
            hint=f"ddbench leaderboard add {board} --suite benchmarks/table4.toml --profile cpu",
        )
    make_folder(board)
    with explain_faults(board):
        for record in chosen:
            boards.add(board, record)
        whole = list(Records(board / boards.RECORDS).all())
        write_whole(board / boards.TABLE, boards.render_table(whole))
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


def _find_finished(
    suite: Path, profile: str, data_root: Path | None, cache: Path | None
) -> list[Record]:
    """Finds the finished cells of a suite, under the suite's names."""
    from ddbench.store.records import read_folder

    (folder,) = find_folders([], cache)
    finished = [record for _, record in read_folder(folder) if record.status == "ok"]
    of_suite = find_suite_records(finished, suite, profile, (), data_root, cache)
    if not of_suite.records:
        raise DDBenchError(
            f"no cell of {suite} is finished",
            f"looked in {folder}",
            hint=f"ddbench run {suite}" + (f" --profile {profile}" if profile else ""),
        )
    return of_suite.records


@app.command()
def render(
    folder: FolderArgument = Path("leaderboards"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a page is stale.")
    ] = False,
) -> None:
    """Render README.md and every table.md from the records."""
    from ddbench.reporting import leaderboards as boards

    with explain_faults(folder):
        changed = boards.find_stale(folder) if check else boards.write_pages(folder)
    for path in changed:
        typer.echo(f"{'stale: ' if check else 'wrote '}{path}", err=check)
    if check and changed:
        raise typer.Exit(1)
    if not changed:
        typer.echo("all pages are what their records say")
