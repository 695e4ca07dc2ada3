"""`ddbench run`: a grid from flags, with or without a suite file."""

from __future__ import annotations

import functools
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchWarning, format_count
from ddbench.cli.options import (
    HowFlags,
    flag,
    group_options,
    split_list,
    split_numbers,
)
from ddbench.cli.outputs import show_progress

if TYPE_CHECKING:
    from ddbench.api.roles import Evaluator
    from ddbench.config.session import Session
    from ddbench.pipeline.execute import Outcome
    from ddbench.pipeline.plan import Plan

_LISTS = (
    "method",
    "dataset",
    "arch",
    "teacher",
    "matcher",
    "regularizer",
    "labels",
    "evaluator",
    "protocol",
)
MOST_CELLS = 12
"""Number of cells whose stages a dry run lists."""


_grid_flag = functools.partial(flag, panel="Grid")


@dataclass(frozen=True, kw_only=True)
class GridFlags:
    """Options for which cells there are; those given replace fields of the suite."""

    method: str | None = _grid_flag("--method", "-m", help="Methods.", means="wmdd")
    dataset: str | None = _grid_flag(
        "--dataset", "-d", help="Data sets, each NAME or NAME@PIXELS.", means="digits"
    )
    ipc: str | None = _grid_flag("--ipc", help="Images per class.", means="1 for digits, else 10")
    arch: str | None = _grid_flag(
        "--arch", "-a", help="Architectures of the students.", means="resnet18"
    )
    teacher: str | None = _grid_flag(
        "--teacher",
        "-t",
        help="Architectures of the teachers; a+b is an ensemble.",
        means="the method's own, mostly resnet18",
    )
    matcher: str | None = _grid_flag(
        "--matcher", help="Ablation: matchers instead of the method's; a+0.5*b is a weighted sum."
    )
    regularizer: str | None = _grid_flag(
        "--regularizer", help="Ablation: regularizers instead of the method's."
    )
    labels: str | None = _grid_flag(
        "--labels", "-l", help="Labellers instead of the method's, such as hard, soft, fkd."
    )
    protocol: str | None = _grid_flag(
        "--protocol",
        help="How students are trained: protocols by name, or TOML files.",
        means="ddbench-v1",
    )
    evaluator: str | None = _grid_flag("--evaluator", "-e", help="Evaluators besides accuracy.")
    seeds: int | None = _grid_flag("--seeds", help="Number of distillation seeds.", means="3")
    seed: int | None = _grid_flag("--seed", help="The first seed.", means="0")
    students: int | None = _grid_flag(
        "--students", help="Number of students trained on each distilled set.", means="1"
    )
    holdout: float | None = _grid_flag(
        "--holdout",
        help="For tuning: evaluate on this share of the training images, not on the test data.",
    )
    set: list[str] | None = _grid_flag(
        "--set", help="Set an option, such as recover.iterations=200; may be repeated."
    )
    batch_size: str | None = _grid_flag(
        "--batch-size",
        help="Images recovered together: a number, or auto for as many as fit into memory.",
    )
    profile: str = _grid_flag(
        "--profile",
        help="A named size, of the suite or of the methods; smoke runs any in a few steps.",
        default="",
    )
    reference: bool | None = _grid_flag(
        "--reference/--no-reference",
        help="Add reference rows: random selection and full data.",
        means="reference",
    )

    def given_fields(self) -> dict[str, Any]:
        """Returns the fields of a suite that were given."""
        from ddbench.config.overrides import parse_assignment

        options = dict(parse_assignment(text) for text in self.set or [])
        if self.batch_size is not None:
            options.setdefault("recover.batch_size", self.batch_size)
        table = {
            **{name: split_list(getattr(self, name)) for name in _LISTS},
            "ipc": split_numbers(self.ipc, "--ipc"),
            "seeds": self.seeds,
            "seed": self.seed,
            "students": self.students,
            "holdout": self.holdout,
            "reference": self.reference,
            "set": options,
        }
        return {name: value for name, value in table.items() if value not in (None, [], {})}


@dataclass(frozen=True, kw_only=True)
class RunFlags(HowFlags):
    """Options for how a grid is run."""

    dry_run: bool = flag(
        "--dry-run", help="Print the stages, run nothing.", default=False, panel="How"
    )
    compile: bool = flag(
        "--compile",
        help="Compile recover iterations (torch.compile): for long runs on a GPU.",
        default=False,
    )
    checkpoint: bool = flag(
        "--checkpoint",
        help="Recompute activations of recover iterations instead of keeping them: less memory. "
        "Done automatically where memory runs out.",
        default=False,
    )


@group_options
def run(
    grid: GridFlags,
    how: RunFlags,
    suite: Annotated[
        Path | None,
        typer.Argument(help="A suite file (TOML); without one, the flags describe the grid."),
    ] = None,
) -> None:
    """Run a grid and print its leaderboard. Finished cells are never computed again.

    Options of the grid take several values, separated by commas.
    """
    from ddbench.config.suite import read_suite

    table = read_suite(suite, grid.profile, grid.given_fields())
    with show_progress() as progress:
        session = how.open_session(progress, compile=how.compile, checkpoint=how.checkpoint)
        evaluators = session.evaluators(table.evaluator)
        plans = session.plans(table, evaluators)
        _warn_of_no_iterations(how, plans)
        if how.dry_run:
            progress.say("")
            _print_plans(session.cache_root, plans)
            return
        outcome = run_plans(session, plans, evaluators)
    print_outcome(outcome, how.format, table.title, evaluators)
    finished = len(outcome.records) - outcome.computed
    done = f"{format_count(outcome.computed, 'cell')} computed, {finished} finished before"
    typer.echo(f"{done}; records in {session.cache_root / 'records'}", err=True)
    exit_if_failed(outcome)


def _warn_of_no_iterations(how: RunFlags, plans: Sequence[Plan]) -> None:
    """Warns of options for recover iterations where no row has any."""
    if any("objective" in plan.cell.recipe.distiller.needs for plan in plans):
        return
    rows = ", ".join(dict.fromkeys(plan.cell.method for plan in plans))
    for option, given in (("--compile", how.compile), ("--checkpoint", how.checkpoint)):
        if given:
            text = f"{option} changes nothing: no row optimises images through a teacher ({rows})"
            warnings.warn(text, DDBenchWarning, stacklevel=2)


def run_plans(
    session: Session, plans: Sequence[Plan], evaluators: Mapping[str, Evaluator]
) -> Outcome:
    """Runs plans in a session; their records name the command that is running."""
    from ddbench.pipeline.execute import execute

    command = shlex.join(["ddbench", *sys.argv[1:]])
    cache = session.cache()
    return execute(plans, evaluators, session.registry, cache, session.ctx, command)


def print_outcome(
    outcome: Outcome, format: str, title: str, evaluators: Mapping[str, Evaluator]
) -> None:
    """Prints the leaderboard of a run, with all metrics that were asked for."""
    from ddbench.cli.table import print_tables

    metrics = {metric.name for part in evaluators.values() for metric in part.metrics}
    print_tables(outcome.records, format, title, metrics=metrics)


def exit_if_failed(outcome: Outcome) -> None:
    """Says which cells failed and why, and exits with code 1 if any did."""
    for record in outcome.failed:
        row = f"{record.variant or record.method}, {record.dataset}, seed {record.seed}"
        reason = record.reason.partition("\n")[0]
        typer.echo(f"failed: {row} ({record.status}): {reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _print_plans(cache_root: Path, plans: Sequence[Plan]) -> None:
    """Prints how many stages a grid has, and those of its first cells."""
    from rich.console import Console
    from rich.table import Table

    from ddbench.pipeline.dry_run import count_stages

    def is_cached(stage: str, key: str) -> bool:
        return (cache_root / "artifacts" / stage / key / "card.json").is_file()

    title = format_count(len(plans), "cell")
    view = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "asked for", "distinct", "cached", "to run"):
        view.add_column(name, justify="left" if name == "stage" else "right")
    for row in count_stages(plans, is_cached):
        view.add_row(row.stage, str(row.asked), str(row.distinct), str(row.cached), str(row.to_run))
    Console().print(view)
    for plan in plans[:MOST_CELLS]:
        typer.echo(_name_cell(plan))
        for stage in plan.stages():
            mark = "cached" if is_cached(stage.stage, stage.key) else "to run"
            several = len(plan.teacher_names) > 1
            name = plan.teacher_names.get(stage.key, "") if several else ""
            typer.echo(f"  {stage.stage} {stage.key[:8]} ({mark}) {name}".rstrip())
    if len(plans) > MOST_CELLS:
        typer.echo(f"… and {len(plans) - MOST_CELLS} more cells")


def _name_cell(plan: Plan) -> str:
    cell = plan.cell
    ipc = "all images" if cell.ipc is None else f"IPC {cell.ipc}"
    method = f"{cell.method}, profile={cell.profile}" if cell.profile else cell.method
    return f"{method}, {cell.dataset.name}, {ipc}, {cell.student.name}, seed {cell.seed}"
