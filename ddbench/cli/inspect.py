"""Commands that only read: `list`, `show`, `doctor`."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchError, find_nearest, format_count, unknown
from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import explained, made_folder

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.api.record import Record
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
    from ddbench.reporting.method_page import method_page

    made_folder(folder)
    names = registry.names("recipe")
    with explained(folder):
        for name in names:
            (folder / f"{name}.md").write_text(method_page(name, registry), encoding="utf-8")
    typer.echo(f"wrote {format_count(len(names), 'page')} to {folder}", err=True)


def _also(registry: Registry, kind: str, name: str) -> str:
    other = [a.partition(":")[2] for a, n in registry.aliases.items() if n == name and
             a.startswith(f"{kind}:")]  # fmt: skip
    part = registry.parts[kind][name]
    argument = getattr(part, "argument", "")
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
    from ddbench.cli.show import to_terminal

    Console().print(to_terminal(record))


def _or_method(fault: DDBenchError, name: str) -> DDBenchError:
    """The fault, with the method that may have been meant instead of a record."""
    from ddbench.registry import load

    guess = find_nearest(name, load().names("recipe"))
    if not guess:
        return fault
    return DDBenchError(fault.problem, *fault.facts, hint=f"did you mean the method '{guess}'?")


def _show_method(name: str, console: Console) -> bool:
    """Prints a method's page, as Markdown where nobody looks; whether there is such a method."""
    from ddbench.registry import load
    from ddbench.reporting.method_page import method_page

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
    from ddbench.store.cache import find_cache
    from ddbench.store.records import read_record

    if name.endswith(".json") and Path(name).is_file():
        return read_record(Path(name))
    folder = find_cache(cache) / "records"
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
    near = _nearest_records(name, [p.stem for p in paths])
    raise DDBenchError(
        f"unknown record '{name}'", *(f"there is {stem}" for stem in near),
        f"in {folder}: {format_count(len(paths), 'record')}",
        hint=f"did you mean '{near[0]}'?" if near
        else "`ddbench run` writes records; --cache DIR looks elsewhere",
    )  # fmt: skip


def _nearest_records(name: str, stems: list[str], most: int = 3) -> list[str]:
    """Those whose beginning, or whose key, is most like the name."""

    def likeness(stem: str) -> float:
        starts = (stem[: len(name)], stem.rpartition("-")[2][: len(name)])
        return max(difflib.SequenceMatcher(None, name, start).ratio() for start in starts)

    ranked = sorted((-likeness(stem), stem) for stem in stems)
    return [stem for score, stem in ranked[:most] if -score > 0.7]


def doctor(data_root: DataRootOption = None, cache: CacheOption = None) -> None:
    """Check the installation: versions, devices, cache, data sets, plug-ins."""
    from rich.console import Console

    from ddbench.cli.doctor import examine

    problems = examine(Console(), data_root, cache)
    raise typer.Exit(1 if problems else 0)


def register(app: typer.Typer) -> None:
    app.command("list")(list_)
    app.command()(show)
    app.command()(doctor)
