"""`ddbench table`: leaderboards from finished records."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    FormatOption,
    flag,
    group_options,
    split_list,
    split_numbers,
)
from ddbench.cli.outputs import check_file, explain_faults, write_file
from ddbench.cli.records import find_folders, find_suite_records

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.api.record import Record
    from ddbench.reporting.tables import View

FIELDS = {
    "method": "method",
    "dataset": "data set",
    "student": "student",
    "labels": "labels",
    "protocol": "protocol",
}
"""Fields of a record that rows are chosen by, and how errors call them."""


@dataclass(frozen=True, kw_only=True)
class FilterFlags:
    """Options for which records are shown."""

    method: str | None = flag("--method", "-m", help="Only these methods.")
    dataset: str | None = flag("--dataset", "-d", help="Only these data sets.")
    ipc: str | None = flag("--ipc", help="Only these numbers of images per class.")
    arch: str | None = flag("--arch", "-a", help="Only these architectures of students.")
    labels: str | None = flag("--labels", "-l", help="Only these labels.")
    protocol: str | None = flag("--protocol", help="Only these protocols.")

    def choose(self, records: Sequence[Record], folder: Path) -> list[Record]:
        """Chooses the records that were asked for, and the reference rows that go with them.

        Args:
            records: All records.
            folder: Where they lie, for errors.

        Raises:
            DDBenchError: none is left but reference rows, which answer no question by themselves.
        """
        names = {
            "method": split_list(self.method),
            "dataset": split_list(self.dataset),
            "student": split_list(self.arch),
            "labels": split_list(self.labels),
            "protocol": split_list(self.protocol),
        }
        sizes = split_numbers(self.ipc, "--ipc")
        chosen = [
            record
            for record in records
            if (not sizes or record.ipc in sizes or record.ipc is None)
            and all(
                _is_named(record, field, some) or (field == "method" and record.baseline)
                for field, some in names.items()
                if some
            )
        ]
        methods = names["method"]
        for record in chosen:
            named = bool(methods) and _is_named(record, "method", methods)
            if (named or not methods) and (named or not sizes or record.ipc in sizes):
                return chosen
        raise _no_records(records, names, sizes, folder)


def _is_named(record: Record, field: str, names: Sequence[str]) -> bool:
    return getattr(record, field) in names or (field == "method" and record.variant in names)


def _no_records(
    records: Sequence[Record], names: Mapping[str, list[str]], sizes: list[int], folder: Path
) -> DDBenchError:
    """Returns an error that says which filters nothing passes, and what there is instead."""
    facts, hint = [], ""
    for field, wanted in names.items():
        known = {getattr(record, field) for record in records}
        if field == "method":
            known |= {record.variant for record in records if record.variant}
        for name in wanted:
            if records and name not in known:
                listed = "" if field == "method" else f"; there are: {', '.join(sorted(known))}"
                facts.append(f"none is of the {FIELDS[field]} '{name}'{listed}")
                guess = find_nearest(name, known)
                hint = hint or (f"did you mean '{guess}'?" if guess else "")
    there = sorted({record.ipc for record in records if record.ipc is not None})
    if records and sizes and not set(sizes) & set(there):
        known_sizes = ", ".join(map(str, there)) or "none"
        facts.append(f"none is of --ipc {','.join(map(str, sizes))}; there are: {known_sizes}")
    methods = ", ".join(sorted({record.variant or record.method for record in records}))
    if methods:
        facts.append(f"methods there: {methods}")
    otherwise = "filter otherwise" if methods else "run something first: `ddbench run`"
    looked = f"looked in {folder}: {len(records)} before filters"
    return DDBenchError("no records to tabulate", looked, *facts, hint=hint or otherwise)


@dataclass(frozen=True, kw_only=True)
class TableFlags:
    """Options for what is tabulated, and where it is written."""

    format: FormatOption = "terminal"
    profile: str = flag("--profile", help="A profile of the suite.", default="")
    set: list[str] | None = flag("--set", help="Options that `run` was given with the suite.")
    records: Path | None = flag(
        "--records",
        help="A folder of records, or of folders with records, instead of the cache's.",
    )
    output: Path | None = flag("--output", "-o", help="Write a file, not standard output.")
    statistics: bool = flag(
        "--statistics",
        help="Intervals, corrected tests and ranks instead of leaderboards.",
        default=False,
    )
    diagram: Path | None = flag(
        "--diagram", help="Also draw average ranks over cells: FILE.svg, pdf or png."
    )
    evaluator: str | None = flag(
        "--evaluator", "-e", help="Always show the metrics of these evaluators."
    )
    data_root: DataRootOption = None
    cache: CacheOption = None


@group_options
def table(
    filters: FilterFlags,
    how: TableFlags,
    suite: Annotated[
        Path | None, typer.Argument(help="A suite file, to show its cells alone.")
    ] = None,
) -> None:
    """Print leaderboards from finished records. Nothing is computed."""
    from ddbench.store.records import read_folder

    for option, given in (("--profile", how.profile), ("--set", how.set)):
        if given and suite is None:
            raise DDBenchError(
                f"{option} bears on the cells of a suite, and none is named",
                "expected: a suite file before it",
                hint=f"ddbench table SUITE.toml {option} …",
            )
    metrics = set(_find_metrics(split_list(how.evaluator)))
    if how.output is not None:
        check_file(how.output, "-o table.md")
    (folder,) = find_folders([how.records] if how.records else [], how.cache)
    records = [record for _, record in read_folder(folder)]
    title = ""
    if suite is not None:
        of_suite = find_suite_records(
            records, suite, how.profile, how.set or [], how.data_root, how.cache
        )
        records, title = of_suite.records, of_suite.title
        metrics |= of_suite.metrics
    chosen = filters.choose(records, folder)
    if how.diagram is not None:
        _draw_ranks(chosen, how.diagram)
    print_tables(chosen, how.format, title, how.output, how.statistics, metrics)


def _find_metrics(evaluators: Sequence[str]) -> Iterator[str]:
    """Yields the names of the metrics of evaluators; raises if nobody provides one of them."""
    if not evaluators:
        return
    from ddbench.config.terms import choose_evaluator
    from ddbench.registry import load

    registry = load()
    for text in evaluators:
        for metric in choose_evaluator(text, registry)[1].metrics:
            yield metric.name


def _draw_ranks(records: Sequence[Record], path: Path) -> None:
    from ddbench.reporting.render.critical_difference import write_diagram
    from ddbench.reporting.tables import rank_records

    check_file(path, "--diagram ranks.svg")
    ranking = rank_records(records)
    if ranking is None:
        raise DDBenchError(
            "average ranks need two methods in two cells",
            "a cell is a data set, IPC and student",
            hint="run a grid of several, or leave --diagram away",
        )
    with explain_faults(path):
        write_diagram(ranking, path)


def print_tables(
    records: Sequence[Record],
    format: str,
    title: str = "",
    output: Path | None = None,
    statistics: bool = False,
    metrics: Collection[str] = (),
) -> None:
    """Prints every view that the records have, in one format, or writes it to a file.

    Args:
        records: The rows.
        format: "terminal", "md", "csv" or "tex".
        title: Printed above the tables.
        output: A file; None for standard output.
        statistics: Whether to print intervals, tests and ranks instead of leaderboards.
        metrics: Columns besides those of metrics that most rows have. As CSV, which programs read,
            a leaderboard has all.
    """
    from rich.console import Console

    from ddbench.reporting.tables import choose_certainty_views, choose_views

    columns = None if format == "csv" else metrics
    views = choose_certainty_views(records) if statistics else choose_views(records, columns)
    if output is not None:
        write_file(output, _render(views, format, title))
    elif format == "terminal":
        _print_views(Console(), views, title)
    else:
        typer.echo(_render(views, format, title), nl=False)


def _render(views: Sequence[View], format: str, title: str) -> str:
    """Returns the views as a file holds them."""
    from rich.console import Console

    from ddbench.reporting import render

    if format == "terminal":
        page = io.StringIO()
        _print_views(Console(file=page), views, title)
        return page.getvalue()
    if format == "csv":
        return render.to_csv(views[0])
    make = {"md": render.to_markdown, "tex": render.to_latex}[format]
    return "\n\n".join(make(view).rstrip() for view in views) + "\n"


def _print_views(console: Console, views: Sequence[View], title: str) -> None:
    from ddbench.reporting import render

    if title:
        console.print(title, style="bold", markup=False, emoji=False, highlight=False)
    for view in views:
        console.print(render.to_terminal(view))
