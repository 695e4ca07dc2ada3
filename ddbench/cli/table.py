"""`ddbench table`: leaderboards from finished records."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    FormatOption,
    checked_format,
    numbers,
    split,
)
from ddbench.cli.outputs import check_file, explained, write_file

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.api.record import Record
    from ddbench.reporting.tables import View


def table(
    suite: Annotated[Path | None, typer.Argument(help="A suite file: only its cells.")] = None,
    format_: FormatOption = "terminal",
    method: Annotated[str | None, typer.Option("--method", "-m", help="Only these.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only these.")] = None,
    ipc: Annotated[str | None, typer.Option("--ipc", help="Only these.")] = None,
    arch: Annotated[str | None, typer.Option("--arch", "-a", help="Only these students.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", "-l", help="Only these.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Only these.")] = None,
    profile: Annotated[str, typer.Option("--profile", help="A profile of the suite.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="As given to `run` with the suite.")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            help="A folder of records, or of folders with records, instead of the cache's.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics", help="Intervals, corrected tests and ranks instead of leaderboards."
        ),
    ] = False,
    diagram: Annotated[
        Path | None,
        typer.Option("--diagram", help="Also draw average ranks over cells: FILE.svg, pdf or png."),
    ] = None,
    data_root: DataRootOption = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator", "-e", help="Evaluators whose metrics are shown, however few have them."
        ),
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Print leaderboards from finished records. Nothing is computed."""
    from ddbench.store.cache import find_cache
    from ddbench.store.records import read_folder

    checked_format(format_)
    _check_of_suite(suite, profile, set_)
    wanted = {
        "method": split(method, "--method"), "dataset": split(dataset, "--dataset"),
        "student": split(arch, "--arch"), "labels": split(labels, "--labels"),
        "protocol": split(protocol, "--protocol"),
    }  # fmt: skip
    counts = numbers(ipc, "--ipc")
    asked = metrics_of(split(evaluator, "--evaluator"))
    if output is not None:
        check_file(output, "-o table.md")
    folder = records or find_cache(cache) / "records"
    if records is not None and not records.is_dir():
        raise DDBenchError(f"no folder {records}", hint="name a folder of record files")
    found = [record for _, record in read_folder(folder)]
    title = ""
    if suite is not None:
        from ddbench.cli.suite_records import of_suite

        found, title, own = of_suite(found, suite, profile, set_ or [], data_root, cache)
        asked |= own
    chosen = _chosen(found, wanted, counts, folder)
    if diagram is not None:
        _draw_ranks(chosen, diagram)
    print_tables(chosen, format_, title, output, statistics, asked)


def _check_of_suite(suite: Path | None, profile: str, set_: list[str] | None) -> None:
    """Refuses options that say which cells of a suite, where there is none."""
    for flag, given in (("--profile", profile), ("--set", set_)):
        if given and suite is None:
            raise DDBenchError(
                f"{flag} bears on the cells of a suite, and none is named",
                "expected: a suite file before it", hint=f"ddbench table SUITE.toml {flag} …",
            )  # fmt: skip


FLAGS = {"method": "method", "dataset": "data set", "student": "student", "labels": "labels",
         "protocol": "protocol"}  # fmt: skip
"""Fields of a record that rows are chosen by, in words."""


def _chosen(
    found: Sequence[Record], wanted: Mapping[str, list[str]], counts: list[int], folder: Path
) -> list[Record]:
    """The records that were asked for, and the reference rows that go with them.

    Raises:
        DDBenchError: there is none but reference rows, which are no answer to another question.
    """
    chosen = [
        r for r in found
        if all(not names or _is_of(r, field, names) or (field == "method" and r.baseline)
               for field, names in wanted.items())
        and (not counts or r.ipc in counts or r.ipc is None)
    ]  # fmt: skip
    methods = wanted["method"]
    for r in chosen:
        named = bool(methods) and _is_of(r, "method", methods)
        if (named or not methods) and (named or not counts or r.ipc in counts):
            return chosen
    facts, hint = _lacking(found, wanted, counts)
    there = ", ".join(sorted({r.variant or r.method for r in found}))
    raise DDBenchError(
        "no records to tabulate", f"looked in {folder}: {len(found)} before filters", *facts,
        *([f"methods there: {there}"] if there else []),
        hint=hint or ("filter otherwise" if there else "run something first: `ddbench run`"),
    )  # fmt: skip


def _is_of(record: Record, field: str, names: list[str]) -> bool:
    return getattr(record, field) in names or (field == "method" and record.variant in names)


def _lacking(
    found: Sequence[Record], wanted: Mapping[str, list[str]], counts: list[int]
) -> tuple[list[str], str]:
    """Names that no record has, each with those that there are; the nearest to the first."""
    facts, hint = [], ""
    for field, names in wanted.items():
        known = {getattr(r, field) for r in found}
        known |= {r.variant for r in found if r.variant} if field == "method" else set()
        for name in names:
            if found and name not in known:
                listed = "" if field == "method" else f"; there are: {', '.join(sorted(known))}"
                facts.append(f"none is of the {FLAGS[field]} '{name}'{listed}")
                guess = find_nearest(name, known)
                hint = hint or (f"did you mean '{guess}'?" if guess else "")
    sizes = sorted({r.ipc for r in found if r.ipc is not None})
    if found and counts and not set(counts) & set(sizes):
        told = ", ".join(map(str, sizes)) or "none"
        facts.append(f"none is of --ipc {','.join(map(str, counts))}; there are: {told}")
    return facts, hint


def metrics_of(evaluators: Sequence[str]) -> set[str]:
    """Names of the metrics of evaluators, as `--evaluator` names them.

    Raises:
        DDBenchError: nobody provides one of them.
    """
    if not evaluators:
        return set()
    from ddbench.config.terms import choose_evaluator
    from ddbench.registry import load

    registry = load()
    parts = [choose_evaluator(text, registry)[1] for text in evaluators]
    return {metric.name for part in parts for metric in part.metrics}


def _draw_ranks(records: Sequence[Record], path: Path) -> None:
    from ddbench.reporting.render.critical_difference import write_diagram
    from ddbench.reporting.tables import rank_records

    check_file(path, "--diagram ranks.svg")
    ranking = rank_records(records)
    if ranking is None:
        raise DDBenchError(
            "average ranks need two methods in two cells", "a cell is a data set, IPC and student",
            hint="run a grid of several, or leave --diagram away",
        )  # fmt: skip
    with explained(path):
        write_diagram(ranking, path)


def print_tables(
    records: Sequence[Record],
    format_: str,
    title: str = "",
    output: Path | None = None,
    statistics: bool = False,
    asked: Collection[str] = (),
) -> None:
    """Every view that the records have, in one format, to standard output or a file.

    The leaderboard has a column for metrics in `asked`, and for those that most rows have; as CSV,
    which programs read, for all.
    """
    from rich.console import Console

    from ddbench.reporting.tables import choose_certainty_views, choose_views

    found = list(records)
    wide = None if format_ == "csv" else asked
    views = choose_certainty_views(found) if statistics else choose_views(found, wide)
    text = _text(views, format_, title)
    if output is not None:
        check_file(output, "-o table.md")
        write_file(output, text)
    elif format_ == "terminal":
        _to_console(Console(), views, title)
    else:
        typer.echo(text, nl=False)


def _text(views: Sequence[View], format_: str, title: str) -> str:
    """The views as a file holds them."""
    from rich.console import Console

    from ddbench.reporting import render

    if format_ == "terminal":
        page = io.StringIO()
        _to_console(Console(file=page), views, title)
        return page.getvalue()
    if format_ == "csv":
        return render.to_csv(views[0])
    make = {"md": render.to_markdown, "tex": render.to_latex}[format_]
    return "\n\n".join(make(view).rstrip() for view in views) + "\n"


def _to_console(console: Console, views: Sequence[View], title: str) -> None:
    from ddbench.reporting import render

    if title:
        console.print(title, style="bold", markup=False, emoji=False, highlight=False)
    for view in views:
        console.print(render.to_terminal(view))


def register(app: typer.Typer) -> None:
    app.command()(table)
