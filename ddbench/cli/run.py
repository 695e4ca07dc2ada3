"""`ddbench run`: a grid from flags, with or without a suite file."""

from __future__ import annotations

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
    group_options,
    split_list,
    split_numbers,
    text_option,
)
from ddbench.cli.outputs import show_progress

if TYPE_CHECKING:
    from ddbench.api.roles import Evaluator
    from ddbench.config.session import Session
    from ddbench.pipeline.execute import Outcome
    from ddbench.pipeline.plan import Plan

_GRID = "Grid"
_HOW = "How"
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


def _number(name: str, help: str, default: str) -> Any:
    return typer.Option(name, help=help, show_default=default, rich_help_panel=_GRID)


@dataclass(frozen=True, kw_only=True)
class GridFlags:
    """Options for which cells there are; those given replace fields of the suite."""

    method: Annotated[
        str | None,
        text_option("--method", "-m", help="Methods.", default="wmdd", panel=_GRID),
    ] = None
    dataset: Annotated[
        str | None,
        text_option(
            "--dataset",
            "-d",
            help="Data sets, each NAME or NAME@PIXELS.",
            default="digits",
            panel=_GRID,
        ),
    ] = None
    ipc: Annotated[
        str | None,
        text_option(
            "--ipc",
            help="Images per class.",
            default="1 for digits, else 10",
            panel=_GRID,
        ),
    ] = None
    arch: Annotated[
        str | None,
        text_option(
            "--arch",
            "-a",
            help="Architectures of the students, which are trained and evaluated.",
            default="resnet18",
            panel=_GRID,
        ),
    ] = None
    teacher: Annotated[
        str | None,
        text_option(
            "--teacher",
            "-t",
            help="Architectures of the teachers; a+b is an ensemble.",
            default="the method's own, mostly resnet18",
            panel=_GRID,
        ),
    ] = None
    matcher: Annotated[
        str | None,
        text_option(
            "--matcher",
            help="Ablation: matchers instead of the method's; a+0.5*b is a weighted sum.",
            panel=_GRID,
        ),
    ] = None
    regularizer: Annotated[
        str | None,
        text_option(
            "--regularizer",
            help="Ablation: regularizers instead of the method's.",
            panel=_GRID,
        ),
    ] = None
    labels: Annotated[
        str | None,
        text_option(
            "--labels",
            "-l",
            help="Labellers instead of the method's, such as hard, soft, fkd.",
            panel=_GRID,
        ),
    ] = None
    protocol: Annotated[
        str | None,
        text_option(
            "--protocol",
            help="How students are trained: protocols by name, or TOML files.",
            default="ddbench-v1",
            panel=_GRID,
        ),
    ] = None
    evaluator: Annotated[
        str | None,
        text_option("--evaluator", "-e", help="Evaluators besides accuracy.", panel=_GRID),
    ] = None
    seeds: Annotated[int | None, _number("--seeds", "Number of distillation seeds.", "3")] = None
    seed: Annotated[int | None, _number("--seed", "The first seed.", "0")] = None
    students: Annotated[
        int | None,
        _number("--students", "Number of students trained on each distilled set.", "1"),
    ] = None
    holdout: Annotated[
        float | None,
        typer.Option(
            "--holdout",
            help="For tuning: evaluate on this share of the training images, not on the test data.",
            rich_help_panel=_GRID,
        ),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set an option, such as recover.iterations=200; may be repeated.",
            rich_help_panel=_GRID,
        ),
    ] = None
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch-size",
            help="Images recovered together: a number, or auto for as many as fit into memory.",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="A named size, of the suite or of the methods; smoke runs any in a few steps.",
            rich_help_panel=_GRID,
        ),
    ] = ""
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Add reference rows: random selection and full data.",
            rich_help_panel=_GRID,
            show_default="reference",
        ),
    ] = None

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

    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the stages, run nothing.", rich_help_panel=_HOW),
    ] = False
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile recover iterations (torch.compile): for long runs on a GPU."
        ),
    ] = False
    checkpoint: Annotated[
        bool,
        typer.Option(
            "--checkpoint",
            help="Recompute activations of recover iterations instead of keeping them: less "
            "memory. Done automatically where memory runs out.",
        ),
    ] = False


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
