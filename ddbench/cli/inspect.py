"""Commands that only read: `list`, `show`, `table`, `doctor`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    FormatOption,
    checked_format,
    numbers,
    split,
)
from ddbench.errors import DDBenchError, nearest, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.records import Record
    from ddbench.registry import Registry

LISTABLE = {
    "methods": "recipe", "matchers": "matcher", "regularizers": "regularizer",
    "distillers": "distiller", "labellers": "labeller", "evaluators": "evaluator",
    "datasets": "dataset", "architectures": "architecture", "protocols": "protocol",
    "formats": "format",
}  # fmt: skip


def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, matchers, … or plugins; nothing for everything.")
    ] = "",
    pages: Annotated[
        Path | None,
        typer.Option("--pages", help="Write a page of every method into this folder instead."),
    ] = None,
) -> None:
    """List the parts that are installed, and plug-ins that could not be loaded."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ddbench.registry import load

    if kind and kind not in (*LISTABLE, "plugins"):
        raise unknown("list", kind, (*LISTABLE, "plugins"))
    registry = load()
    if pages is not None:
        _write_pages(pages, registry)
        return
    console = Console()
    if kind == "plugins":
        view = Table(box=None, pad_edge=False)
        for name in ("plug-in", "distribution", "provides"):
            view.add_column(name, overflow="fold")
        for plugin in registry.plugins:
            said = f"[red]broken: {escape(plugin.error)}[/red]" if plugin.error else ""
            view.add_row(plugin.name, plugin.distribution, said or ", ".join(plugin.provides))
        console.print(view)
        return
    for title in [kind] if kind else LISTABLE:
        view = Table(box=None, pad_edge=False, title=title, title_justify="left",
                     show_header=False, title_style="bold")  # fmt: skip
        view.add_column(no_wrap=True)
        view.add_column(overflow="fold")
        for name in registry.names(LISTABLE[title]):
            view.add_row(f"  {name}{_also(registry, LISTABLE[title], name)}",
                         escape(summary(registry.parts[LISTABLE[title]][name])))  # fmt: skip
        console.print(view)
    for plugin in registry.plugins:
        if plugin.error:
            typer.echo(f"broken plug-in {plugin.name} ({plugin.distribution}): {plugin.error}")


def _write_pages(folder: Path, registry: Registry) -> None:
    from ddbench.method_page import method_page

    folder.mkdir(parents=True, exist_ok=True)
    names = registry.names("recipe")
    for name in names:
        (folder / f"{name}.md").write_text(method_page(name, registry))
    typer.echo(f"wrote {len(names)} pages to {folder}", err=True)


def _also(registry: Registry, kind: str, name: str) -> str:
    other = [a.partition(":")[2] for a, n in registry.aliases.items() if n == name and
             a.startswith(f"{kind}:")]  # fmt: skip
    part = registry.parts[kind][name]
    argument = getattr(part, "argument", None)
    suffix = f":{argument.upper()}" if argument and not getattr(part, argument) else ""
    return suffix + (f" ({', '.join(other)})" if other else "")


def summary(part: Any) -> str:
    """First line of a part's docstring."""
    import functools

    if isinstance(part, functools.partial):
        path = next((str(a) for a in part.args if isinstance(a, Path)), "")
        return Path(path).name
    doc = (
        part.__doc__ if callable(part) and not hasattr(part, "version") else type(part).__doc__
    ) or ""
    return doc.strip().splitlines()[0] if doc.strip() else ""


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A record: its key, the start of it, or its file. Or a method."
        ),
    ],
    cache: CacheOption = None,
) -> None:
    """Show one result: numbers, cost, configuration, environment, how to make it again.

    Of a method: objective, parts, settings by data set, where they come from, published figures.
    """
    from rich.console import Console

    if re.fullmatch(r"[a-z][a-z0-9_]*", run) and _show_method(run, Console()):
        return
    try:
        record = find_record(run, cache)
    except DDBenchError as fault:
        raise _or_method(fault, run) from None
    from ddbench.show import to_terminal

    Console().print(to_terminal(record))


def _or_method(fault: DDBenchError, name: str) -> DDBenchError:
    """The fault, with the method that may have been meant instead of a record."""
    from ddbench.registry import load

    guess = nearest(name, load().names("recipe"))
    if not guess:
        return fault
    return DDBenchError(fault.problem, *fault.facts, hint=f"did you mean the method '{guess}'?")


def _show_method(name: str, console: Console) -> bool:
    """Prints a method's page, as Markdown where nobody looks; whether there is such a method."""
    from ddbench.method_page import method_page
    from ddbench.registry import load

    registry = load()
    if registry.resolve("recipe", name) not in registry.names("recipe"):
        return False
    page = method_page(name, registry)
    if console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(page))
    else:
        typer.echo(page, nl=False)
    return True


def find_record(name: str, cache: Path | None) -> Record:
    """A record by file, by key or by the start of either.

    Raises:
        DDBenchError: none, or several.
    """
    from ddbench.cache import default_cache
    from ddbench.records import read_record

    if name.endswith(".json") and Path(name).is_file():
        return read_record(Path(name))
    folder = default_cache(cache) / "records"
    paths = sorted(folder.glob("*.json"))
    found = [p for p in paths if p.stem.rpartition("-")[2].startswith(name) or
             p.name.startswith(name)]  # fmt: skip
    if len(found) == 1:
        return read_record(found[0])
    if found:
        raise DDBenchError(
            f"'{name}' is the start of {len(found)} records", *(p.name for p in found[:8]),
            hint="give more of the name",
        )  # fmt: skip
    raise unknown(
        "record", name, [p.stem for p in paths][:20], f"in {folder}",
        hint="`ddbench run` writes records; --cache DIR looks elsewhere",
    )  # fmt: skip


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
    from ddbench.cache import default_cache
    from ddbench.records import Records, record_folders

    checked_format(format_)
    folder = records or default_cache(cache) / "records"
    if records is not None and not records.is_dir():
        raise DDBenchError(f"no folder {records}", hint="name a folder of record files")
    places = record_folders(folder)
    found = [r for place in places for _, r in Records(place).readable() if unaltered(r)]
    title = ""
    asked = metrics_of(split(evaluator))
    if suite is not None:
        from ddbench.cli.suite_records import of_suite

        found, title, own = of_suite(found, suite, profile, set_ or [], data_root, cache)
        asked |= own
    wanted = {
        "method": split(method), "dataset": split(dataset), "student": split(arch),
        "labels": split(labels), "protocol": split(protocol),
    }  # fmt: skip
    counts = numbers(ipc, "--ipc")
    chosen = [
        r for r in found
        if all(not names or getattr(r, field) in names or r.variant in names or
               (field == "method" and r.baseline) for field, names in wanted.items())
        and (not counts or r.ipc in counts or r.ipc is None)
    ]  # fmt: skip
    methods = wanted["method"]
    # Reference rows go with any method, but are no answer to a method that has no row.
    if not chosen or (methods and not any({r.method, r.variant} & set(methods) for r in chosen)):
        there = ", ".join(sorted({r.variant or r.method for r in found}))
        raise DDBenchError(
            "no records to tabulate", f"looked in {folder}: {len(found)} before filters",
            *([f"methods there: {there}"] if there else []),
            hint="filter otherwise" if there else "run something first: `ddbench run`",
        )  # fmt: skip
    if diagram is not None:
        _draw_ranks(chosen, diagram)
    print_tables(chosen, format_, title, output, statistics, asked)


def metrics_of(evaluators: Sequence[str]) -> set[str]:
    """Names of the metrics of evaluators, as `--evaluator` names them.

    Raises:
        DDBenchError: nobody provides one of them.
    """
    if not evaluators:
        return set()
    from ddbench.composition import chosen_evaluator
    from ddbench.registry import load

    registry = load()
    parts = [chosen_evaluator(text, registry)[1] for text in evaluators]
    return {metric.name for part in parts for metric in part.metrics}


def unaltered(record: Record) -> bool:
    """Whether a record may stand in a table; says on standard error if not."""
    from ddbench.records import is_altered

    if not is_altered(record):
        return True
    typer.echo(f"left out: {record.file_name} was altered after it was written", err=True)
    return False


def _draw_ranks(records: Sequence[Record], path: Path) -> None:
    from ddbench.render.critical_difference import write_diagram
    from ddbench.tables import average_ranking

    ranking = average_ranking(records)
    if ranking is None:
        raise DDBenchError(
            "average ranks need two methods in two cells", "a cell is a data set, IPC and student",
            hint="run a grid of several, or leave --diagram away",
        )  # fmt: skip
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
    from ddbench import render
    from ddbench.tables import certainty_views, choose_views

    found = list(records)
    wide = None if format_ == "csv" else asked
    views = certainty_views(found) if statistics else choose_views(found, wide)
    if output is not None:
        if output.is_dir():
            raise DDBenchError(f"{output} is a folder", hint="name a file: -o table.md")
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
    if format_ == "terminal":
        from rich.console import Console

        with output.open("w", encoding="utf-8") if output else contextlib.nullcontext() as file:
            console = Console(file=file)
            if title:
                console.print(title, style="bold", markup=False, emoji=False, highlight=False)
            for view in views:
                console.print(render.to_terminal(view))
        return
    if format_ == "csv":
        text = render.to_csv(views[0])
    else:
        make = {"md": render.to_markdown, "tex": render.to_latex}[format_]
        text = "\n\n".join(make(view).rstrip() for view in views) + "\n"
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        typer.echo(text, nl=False)


def doctor(data_root: DataRootOption = None, cache: CacheOption = None) -> None:
    """Check the installation: versions, devices, cache, data sets, plug-ins."""
    from rich.console import Console

    from ddbench.doctor import examine

    problems = examine(Console(), data_root, cache)
    raise typer.Exit(1 if problems else 0)


def register(app: typer.Typer) -> None:
    app.command("list")(list_)
    app.command()(show)
    app.command()(table)
    app.command()(doctor)
