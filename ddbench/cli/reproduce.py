"""`ddbench reproduce`: runs a finished row again from its record, and says whether it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError
from ddbench.cli.options import CacheOption, DataRootOption, DeviceOption
from ddbench.cli.outputs import show_progress
from ddbench.cli.records import find_record
from ddbench.cli.run import run_plans

if TYPE_CHECKING:
    from ddbench.api.record import Record
    from ddbench.config.session import Session
    from ddbench.pipeline.cell import Cell
    from ddbench.pipeline.execute import Outcome

TOLERANCE = 5.0


def reproduce(
    row: Annotated[
        str, typer.Argument(help="A record of the row: its file, its key or the start of it.")
    ],
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", help="The first new seed.", min=0, show_default="the row's last seed + 1"
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of new seeds.", min=1, max=1000)
    ] = 1,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", help="How many points a row of one seed may be off.", min=0),
    ] = TOLERANCE,
    check: Annotated[
        bool, typer.Option("--check", help="Only check that the record is whole; run nothing.")
    ] = False,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Run a row again from its record, on new seeds, and say whether it holds.

    It holds if the new mean lies in the 95 % prediction interval of the row's own seeds, or, for a
    row of one seed, within the tolerance. The teacher is the row's own. Exit code 1 if it does not
    hold, or if the record was altered.
    """
    from ddbench.config.session import open_session

    record = find_record(row, cache)
    if record.status != "ok":
        raise DDBenchError(
            f"the record {record.file_name} is of a run that failed: {record.status}",
            hint="`ddbench run` tries failed cells again",
        )
    siblings = _find_siblings(row, record, cache)
    with show_progress() as progress:
        session = open_session(device, record.precision, data_root, cache, progress)
        cell = _restore_cell(record, siblings, session)
        ipc = "all images" if record.ipc is None else f"IPC {record.ipc}"
        name = f"{record.title or record.method}, {record.dataset}, {ipc}"
        if check:
            typer.echo(f"{name}: the record is whole, and its keys are those of its configuration")
            return
        known = _read_accuracies(siblings)
        first = max(known) + 1 if seed is None else seed
        new = range(first, first + seeds)
        outcome = _run_cells([replace(cell, seed=number) for number in new], record, session)
    # A seed that is run again here is no evidence for itself, unless it is the only one.
    others = {number: top1 for number, top1 in known.items() if number not in new}
    _print_verdict(name, outcome, others or known, tolerance)


def _print_verdict(
    name: str, outcome: Outcome, known: Mapping[int, float], tolerance: float
) -> None:
    """Says whether a row holds, and exits with code 1 if it does not."""
    from ddbench.reporting.reproduce import judge

    for failed in outcome.failed:
        reason = f"seed {failed.seed} {failed.status}: {failed.reason}"
        typer.echo(f"{name} does not hold: {reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)
    if not outcome.computed:
        typer.echo("nothing was computed: these seeds were in the cache", err=True)
    verdict = judge(known, _read_accuracies(outcome.records), tolerance)
    typer.echo(verdict.write_sentence(name), err=not verdict.holds)
    if not verdict.holds:
        raise typer.Exit(1)


def _read_accuracies(records: Iterable[Record]) -> dict[int, float]:
    """Returns top-1 in percent by seed, of the records that have it."""
    return {r.seed: top1 for r in records if (top1 := r.metric("top1")) is not None}


def _find_siblings(row: str, record: Record, cache: Path | None) -> tuple[Record, ...]:
    """Finds the finished seeds of a row: records of its folder with its configuration."""
    from ddbench.reporting.tables.aggregate import gather
    from ddbench.store.cache import find_cache
    from ddbench.store.records import Records

    path = Path(row)
    folder = path.parent if path.is_file() else find_cache(cache) / "records"
    # One that cannot be read says nothing against this row, whose own record could be.
    for entry in gather(other for _, other in Records(folder).readable()):
        if any(other.key == record.key for other in entry.records):
            return entry.finished
    return (record,)


def _restore_cell(record: Record, siblings: tuple[Record, ...], session: Session) -> Cell:
    """Returns the cell of a record, and exits with code 1 if it or a sibling was altered.

    Raises:
        DDBenchError: the cell cannot be run here, or its data are others.
    """
    from ddbench.data.description import describe
    from ddbench.pipeline.recording import check_data
    from ddbench.reporting.reproduce import AlteredError, plan_here, rebuild_cell, refuse_altered

    try:
        for one in (record, *siblings):
            refuse_altered(one)
        if not record.checksum:
            typer.echo("the record has no checksum: its version is older than these", err=True)
        cell = rebuild_cell(record, session.registry)
        check_data(record, describe(cell.dataset, session.ctx.data_root))
        refuse_altered(record, plan_here(cell, session.ctx.data_root))
    except AlteredError as fault:
        typer.echo(fault.problem, err=True)
        raise typer.Exit(1) from None
    return cell


def _run_cells(cells: list[Cell], record: Record, session: Session) -> Outcome:
    """Runs cells with the evaluators of a record."""
    from ddbench.pipeline.scoring import wanted_statistics
    from ddbench.reporting.reproduce import plan_here
    from ddbench.reporting.reproduce.recorded import rebuild_evaluators

    evaluators = rebuild_evaluators(record, session.registry)
    extra = wanted_statistics(evaluators)
    plans = [plan_here(cell, session.ctx.data_root, extra) for cell in cells]
    return run_plans(session, plans, evaluators)
