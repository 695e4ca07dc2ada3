"""`ddbench list`: the parts that are installed, with their options, and pages of methods."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import format_count, unknown
from ddbench.cli.outputs import explain_faults, make_folder, make_table

if TYPE_CHECKING:
    from rich.console import Console

    from ddbench.registry import Registry

KINDS = {
    "methods": "recipe",
    "matchers": "matcher",
    "regularizers": "regularizer",
    "distillers": "distiller",
    "labellers": "labeller",
    "evaluators": "evaluator",
    "datasets": "dataset",
    "architectures": "architecture",
    "protocols": "protocol",
    "formats": "format",
}
"""What a user lists -> kind of part in the registry."""


def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, matchers, … or plugins; without it, everything.")
    ] = "",
    pages: Annotated[
        Path | None,
        typer.Option("--pages", help="Write a page of every method into this folder instead."),
    ] = None,
) -> None:
    """List the installed parts, and plug-ins that could not be loaded.

    With a kind, such as matchers, options are listed too: defaults, and what they may be.
    """
    from rich.console import Console

    from ddbench.registry import load

    if kind and kind not in (*KINDS, "plugins"):
        raise unknown("list", kind, (*KINDS, "plugins"))
    registry = load()
    if pages is not None:
        _write_pages(pages, registry)
        return
    console = Console()
    if kind == "plugins":
        _print_plugins(console, registry)
        return
    for title in [kind] if kind else KINDS:
        _print_parts(console, title, registry, options=bool(kind))
    for plugin in registry.plugins:
        if plugin.error:
            typer.echo(f"broken plug-in {plugin.name} ({plugin.distribution}): {plugin.error}")


def _write_pages(folder: Path, registry: Registry) -> None:
    from ddbench.reporting.method_page import render_method_page

    make_folder(folder)
    names = registry.names("recipe")
    with explain_faults(folder):
        for name in names:
            (folder / f"{name}.md").write_text(render_method_page(name, registry), encoding="utf-8")
    typer.echo(f"wrote {format_count(len(names), 'page')} to {folder}", err=True)


def _print_plugins(console: Console, registry: Registry) -> None:
    from rich.markup import escape

    view = make_table("plug-in", "distribution", "provides")
    for plugin in registry.plugins:
        fault = f"[red]broken: {escape(plugin.error)}[/red]" if plugin.error else ""
        view.add_row(plugin.name, plugin.distribution, fault or ", ".join(plugin.provides))
    console.print(view)


def _print_parts(console: Console, title: str, registry: Registry, *, options: bool) -> None:
    from rich.markup import escape

    kind = KINDS[title]
    view = make_table("", "", title=title)
    for name in registry.names(kind):
        part = registry.parts[kind][name]
        view.add_row(f"  {name}{_list_aliases(registry, kind, name)}", escape(summarise(part)))
        for line in _list_options(part) if options else ():
            view.add_row("", escape(line))
    console.print(view)


def _list_aliases(registry: Registry, kind: str, name: str) -> str:
    """Returns what follows a name in a list: its argument, and its other names."""
    others = [
        alias.partition(":")[2]
        for alias, target in registry.aliases.items()
        if target == name and alias.startswith(f"{kind}:")
    ]
    part = registry.parts[kind][name]
    argument = getattr(part, "argument", "")
    suffix = f":{argument.upper()}" if argument and not getattr(part, argument) else ""
    return suffix + (f" ({', '.join(others)})" if others else "")


def _list_options(part: Any) -> Iterator[str]:
    """Yields a line for each option of a part: its default, and what else it may be."""
    from ddbench.api.options import describe_range, hint_of

    for option in dataclasses.fields(part) if dataclasses.is_dataclass(part) else ():
        allowed = describe_range(hint_of(type(part), option.name))
        line = f"  {option.name} = {getattr(part, option.name)!r}"
        yield f"{line}  ({allowed})" if allowed else line


def summarise(part: Any) -> str:
    """Returns the first line of a part's docstring, or the name of the file it is read from."""
    if isinstance(part, functools.partial):
        return next((path.name for path in part.args if isinstance(path, Path)), "")
    owner = part if callable(part) and not hasattr(part, "version") else type(part)
    return (owner.__doc__ or "").strip().partition("\n")[0]
