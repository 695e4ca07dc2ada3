"""`ddbench reproduce`: run a finished row again from its record, and say whether it holds."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError
from ddbench.cli.options import CacheOption, DataRootOption, DeviceOption

if TYPE_CHECKING:
    from ddbench.api.record import Record
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
            "--seed", help="The first new seed. [default: the row's last seed + 1]", min=0,
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many new seeds.", min=1, max=1000)] = 1,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", help="Points allowed to a row of one seed.", min=0),
    ] = TOLERANCE,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the record is whole; run nothing.")
    ] = False,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:  # fmt: skip
    """Run a row again from its record, on new seeds, and say whether it holds.

    It holds if the new mean lies in the 95 % prediction interval of the row's own seeds, or, for a
    row of one seed, within the tolerance. The teacher is that of the row. Exit code 1 if it does
    not hold, or if the record was altered.
    """
    from ddbench.cli.inspect import find_record
    from ddbench.reporting.reproduce import AlteredError

    record = find_record(row, cache)
    if record.status != "ok":
        raise DDBenchError(
            f"the record {record.file_name} is of a run that failed: {record.status}",
            hint="`ddbench run` tries failed cells again",
        )
    try:
        _reproduce(record, _siblings(row, record, cache), seed, seeds, tolerance, check,
                   device, data_root, cache)  # fmt: skip
    except AlteredError as fault:
        typer.echo(fault.problem, err=True)
        raise typer.Exit(1) from None


def _reproduce(
    record: Record, committed: tuple[Record, ...], seed: int | None, seeds: int, tolerance: float,
    check: bool, device: str, data_root: Path | None, cache: Path | None,
) -> None:  # fmt: skip
    from ddbench.config.session import open_session
    from ddbench.data.description import describe
    from ddbench.pipeline.recording import check_data
    from ddbench.reporting.reproduce import cell_of, judge, plan_of, refuse_altered

    for one in (record, *committed):
        refuse_altered(one)
    if not record.checksum:
        typer.echo("the record has no checksum: it is of a version before there was one", err=True)
    session = open_session(device, record.precision, data_root, cache)
    cell = cell_of(record, session.registry)
    check_data(record, describe(cell.dataset, session.ctx.data_root))
    refuse_altered(record, plan_of(cell, session.ctx.data_root))
    name = f"{record.title or record.method}, {record.dataset}, " + (
        "all images" if record.ipc is None else f"IPC {record.ipc}"
    )
    if check:
        typer.echo(f"{name}: the record is whole, and its keys are those of its configuration")
        return
    known = {r.seed: v for r in committed if (v := r.metric("top1")) is not None}
    first = max(known) + 1 if seed is None else seed
    cells = [replace(cell, seed=first + i) for i in range(seeds)]
    # A seed that is run again here is no evidence for itself, unless it is the only one.
    rest = {s: v for s, v in known.items() if not first <= s < first + seeds}
    outcome = _run(cells, record, device, data_root, cache)
    again = {r.seed: v for r in outcome.records if (v := r.metric("top1")) is not None}
    for failed in outcome.failed:
        typer.echo(f"{name} does not hold: seed {failed.seed} {failed.status}: {failed.reason}",
                   err=True)  # fmt: skip
    if outcome.failed:
        raise typer.Exit(1)
    if not outcome.computed:
        typer.echo("nothing was computed: these seeds were in the cache", err=True)
    verdict = judge(rest or known, again, tolerance)
    typer.echo(verdict.sentence(name), err=not verdict.holds)
    if not verdict.holds:
        raise typer.Exit(1)


def _run(
    cells: list[Cell], record: Record, device: str, data_root: Path | None, cache: Path | None
) -> Outcome:
    from ddbench.cli.run import shown_progress
    from ddbench.config.session import open_session
    from ddbench.pipeline.execute import execute
    from ddbench.pipeline.scoring import wanted_statistics
    from ddbench.reporting.reproduce import plan_of
    from ddbench.reporting.reproduce.recorded import evaluators_of

    with shown_progress() as progress:
        session = open_session(device, record.precision, data_root, cache, progress)
        evaluators = evaluators_of(record, session.registry)
        extra = wanted_statistics(evaluators)
        plans = [plan_of(cell, session.ctx.data_root, extra) for cell in cells]
        command = shlex.join(["ddbench", *sys.argv[1:]])
        return execute(
            plans, evaluators, session.registry, session.cache(), session.ctx, command
        )  # fmt: skip


def _siblings(row: str, record: Record, cache: Path | None) -> tuple[Record, ...]:
    """The finished seeds of the row: records of its folder with its configuration and setting."""
    from ddbench.reporting.tables.aggregate import gather
    from ddbench.store.cache import find_cache
    from ddbench.store.records import Records

    path = Path(row)
    folder = path.parent if path.is_file() else find_cache(cache) / "records"
    # One that cannot be read says nothing against this row, whose own record could be.
    for entry in gather(found for _, found in Records(folder).readable()):
        if any(r.key == record.key for r in entry.records):
            return entry.finished
    return (record,)


def register(app: typer.Typer) -> None:
    app.command()(reproduce)
