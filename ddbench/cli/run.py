"""`ddbench run`: a grid by flags, by an ablation, or by a suite file."""

from __future__ import annotations

import contextlib
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchWarning, format_count
from ddbench.cli.options import (
    CacheOption,
    CheckpointOption,
    CompileOption,
    DataRootOption,
    DeviceOption,
    FormatOption,
    PrecisionOption,
    checked_format,
    numbers,
    split,
)

if TYPE_CHECKING:
    from ddbench.config.session import Session
    from ddbench.pipeline.execute import Outcome
    from ddbench.pipeline.plan import Plan
    from ddbench.runtime.progress import Progress

_GRID = "Grid"
_HOW = "How"


def run(
    suite: Annotated[
        Path | None, typer.Argument(help="A suite file (TOML); without it, the flags say all.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help="Methods, by commas. [default: wmdd]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Data sets, each NAME or NAME@PIXELS. [default: digits]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    ipc: Annotated[
        str | None,
        typer.Option(
            "--ipc",
            help="Images per class, by commas. [default: 1 for digits, else 10]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            "-a",
            help="Students that are trained and judged. [default: resnet18]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            "-t",
            help="Networks distilled from; a+b is an ensemble. "
            "[default: the method's, mostly resnet18]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    matcher: Annotated[
        str | None,
        typer.Option(
            "--matcher",
            help="Ablation: matchers in the place of the method's, by "
            "commas; a+0.5*b is a weighted sum.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    regularizer: Annotated[
        str | None,
        typer.Option(
            "--regularizer",
            help="Ablation: regularizers in the place of the method's.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            help="Labellers instead of the recipe's: hard, soft, fkd.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="Student trainings: names or TOML files, by commas. [default: ddbench-v1]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator", "-e", help="Metrics besides accuracy, by commas.", rich_help_panel=_GRID
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            help="How many distillation seeds. [default: 3]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", help="The first seed. [default: 0]", rich_help_panel=_GRID, show_default=False
        ),
    ] = None,
    students: Annotated[
        int | None,
        typer.Option(
            "--students",
            help="Students trained on each distilled set. [default: 1]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            "--holdout",
            help="For tuning: judge on this part of the training images instead of the test data.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="An option, as recover.iterations=200; may be repeated.",
            rich_help_panel=_GRID,
        ),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch-size",
            help="Images recovered together: a number, or auto for as many as fit into memory.",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="A named size, of the suite or of the methods: smoke runs any in a few steps.",
            rich_help_panel=_GRID,
        ),
    ] = "",
    reference: Annotated[
        bool | None,
        typer.Option(
            "--reference/--no-reference",
            help="Reference rows: random selection and full data. [default: reference]",
            rich_help_panel=_GRID,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the stages and stop.", rich_help_panel=_HOW)
    ] = False,
    format_: FormatOption = "terminal",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compile_: CompileOption = False,
    checkpoint: CheckpointOption = False,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Run a grid and print its leaderboard. What is finished is never computed again."""
    from ddbench.config.overrides import parse_assignment
    from ddbench.config.session import open_session
    from ddbench.config.suite import read_suite

    checked_format(format_)
    named = {
        "method": method, "dataset": dataset, "arch": arch, "teacher": teacher, "matcher": matcher,
        "regularizer": regularizer, "labels": labels, "evaluator": evaluator, "protocol": protocol,
    }  # fmt: skip
    flags: dict[str, Any] = {
        **{name: split(text, f"--{name}") for name, text in named.items()},
        "ipc": numbers(ipc, "--ipc"), "seeds": seeds, "seed": seed, "students": students,
        "holdout": holdout, "reference": reference,
        "set": dict(parse_assignment(text) for text in set_ or []),
    }  # fmt: skip
    if batch_size is not None:
        flags["set"].setdefault("recover.batch_size", batch_size)
    given = {name: value for name, value in flags.items() if value not in (None, [], {})}
    table = read_suite(suite, profile, given)
    with shown_progress() as progress:
        session = open_session(
            device, precision, data_root, cache, progress, compile=compile_, checkpoint=checkpoint
        )
        evaluators = session.evaluators(table.evaluator)
        plans = session.plans(table, evaluators)
        for option, given_ in (("--compile", compile_), ("--checkpoint", checkpoint)):
            if given_:
                _check_iterated(plans, option)
        if dry_run:
            progress.say("")
            _print_plan(session, plans)
            return
        outcome = _execute(session, plans, evaluators)
    _print_outcome(outcome, format_, table.title, session, evaluators)


def _check_iterated(plans: list[Plan], option: str) -> None:
    """Says so where an option of recover iterations bears on nothing."""
    if not any("objective" in made.cell.recipe.distiller.needs for made in plans):
        rows = ", ".join(dict.fromkeys(made.cell.method for made in plans))
        warnings.warn(
            f"{option} changes nothing: no row optimises images through a teacher ({rows})",
            DDBenchWarning,
            stacklevel=2,
        )


def _execute(session: Session, plans: list[Plan], evaluators: Any) -> Outcome:
    from ddbench.pipeline.execute import execute

    command = shlex.join(["ddbench", *sys.argv[1:]])
    return execute(plans, evaluators, session.registry, session.cache(), session.ctx, command)


@contextlib.contextmanager
def shown_progress() -> Iterator[Progress]:
    """Bars where standard error is a terminal, a few lines elsewhere."""
    from rich.console import Console

    from ddbench.runtime.progress import PlainProgress, RichProgress

    console = Console(stderr=True)
    if console.is_terminal:
        with RichProgress(console) as bars:
            yield bars
    else:
        yield PlainProgress(lambda text: typer.echo(text, err=True) if text else None)


def _print_plan(session: Session, plans: list[Plan]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ddbench.pipeline.dry_run import count_stages
    from ddbench.store.cache import find_cache

    root = find_cache(session.cache_root)

    def has(stage: str, key: str) -> bool:
        return (root / "artifacts" / stage / key / "card.json").is_file()

    counts = count_stages(plans, has)
    view = Table(
        title=format_count(len(plans), "cell"), title_justify="left", box=None, pad_edge=False
    )
    for name in ("stage", "asked for", "distinct", "cached", "to run"):
        view.add_column(name, justify="left" if name == "stage" else "right")
    for row in counts:
        view.add_row(row.stage, str(row.asked), str(row.distinct), str(row.cached), str(row.to_run))
    console = Console()
    console.print(view)
    for plan in plans[:MOST_CELLS]:
        words = []
        for stage in plan.stages():
            mark = "cached" if has(stage.stage, stage.key) else "to run"
            several = len(plan.teacher_names) > 1
            name = plan.teacher_names.get(stage.key, "") if several else ""
            words.append(f"{stage.stage} {stage.key[:8]} ({mark}) {name}".rstrip())
        typer.echo(f"{cell_name(plan)}\n  " + "\n  ".join(words))
    if len(plans) > MOST_CELLS:
        typer.echo(f"… and {len(plans) - MOST_CELLS} more cells")


MOST_CELLS = 12


def cell_name(plan: Plan) -> str:
    cell = plan.cell
    ipc = "all images" if cell.ipc is None else f"IPC {cell.ipc}"
    method = f"{cell.method}, profile={cell.profile}" if cell.profile else cell.method
    return f"{method}, {cell.dataset.name}, {ipc}, {cell.student.name}, seed {cell.seed}"


def _print_outcome(
    outcome: Outcome, format_: str, title: str, session: Session, evaluators: Any
) -> None:
    from ddbench.cli.table import print_tables

    asked = {metric.name for part in evaluators.values() for metric in part.metrics}
    print_tables(outcome.records, format_, title, asked=asked)
    finished = len(outcome.records) - outcome.computed
    done = f"{format_count(outcome.computed, 'cell')} computed, {finished} finished before"
    typer.echo(f"{done}; records in {session.cache_root / 'records'}", err=True)
    if outcome.failed:
        for record in outcome.failed:
            typer.echo(
                f"failed: {record.variant or record.method}, {record.dataset}, "
                f"seed {record.seed} ({record.status}): {record.reason.partition(chr(10))[0]}",
                err=True,
            )
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command()(run)
