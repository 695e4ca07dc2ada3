"""`ddbench show`: one record, or one method, for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.cli.options import CacheOption
from ddbench.cli.outputs import make_table
from ddbench.cli.records import find_record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ddbench.api.record import Record


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A record: its key, the start of it, or its file. Or the name of a method.",
        ),
    ],
    cache: CacheOption = None,
) -> None:
    """Show one result: numbers, cost, configuration, environment, how to make it again.

    For a method: objective, parts, settings by data set, where they come from, published figures.
    """
    from rich.console import Console

    if re.fullmatch(r"[a-z][a-z0-9_]*", run) and _show_method(run, Console()):
        return
    try:
        record = find_record(run, cache)
    except DDBenchError as fault:
        raise _suggest_method(fault, run) from None
    Console().print(_render(record))


def _show_method(name: str, console: Console) -> bool:
    """Prints a method's page, as Markdown where nobody looks; returns False if there is none."""
    from ddbench.registry import load
    from ddbench.reporting.method_page import render_method_page

    registry = load()
    if registry.resolve("recipe", name) not in registry.names("recipe"):
        return False
    page = render_method_page(name, registry)
    if console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(page))
    else:
        typer.echo(page, nl=False)
    return True


def _suggest_method(fault: DDBenchError, name: str) -> DDBenchError:
    """Returns the fault, with the method that may have been meant instead of a record."""
    from ddbench.registry import load

    guess = find_nearest(name, load().names("recipe"))
    if not guess:
        return fault
    return DDBenchError(fault.problem, *fault.facts, hint=f"did you mean the method '{guess}'?")


def _render(record: Record) -> Any:
    """Renders a record for rich: result, cost, what was changed, surroundings."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[Any] = [_render_head(record)]
    if len(record.teachers) > 1:
        blocks.append(Text(f"teachers: {', '.join(record.teachers)}"))
    if record.status != "ok":
        blocks.append(Text(f"{record.status}: {record.reason}", style="red"))
    blocks += [_render_pairs("result", _format_metrics(record)), _render_costs(record)]
    if record.reports:
        reports = {name: f"{value:.5g}" for name, value in record.reports.items()}
        blocks.append(_render_pairs("stages report", reports))
    if record.given:
        source = f"profile {record.profile} and --set" if record.profile else "--set"
        blocks.append(_render_pairs(f"changed with {source}", record.given))
    blocks.append(Text("configuration", style="bold"))
    blocks.append(Text(json.dumps(record.configuration.get("recipe", {}), indent=1)))
    surroundings = {name: str(v) for name, v in record.environment.items() if v is not None}
    blocks.append(_render_pairs("environment", surroundings))
    origin = {"command": record.command, "key": record.key, "made": record.created}
    blocks.append(_render_pairs("again", origin))
    return Group(*blocks)


def _render_head(record: Record) -> Any:
    from rich.text import Text

    ipc = "all images" if record.ipc is None else f"IPC {record.ipc}"
    cell = (
        f"{record.dataset}, {ipc}, teacher {record.teacher}, student {record.student}, "
        f"labels {record.labels}, {record.protocol}, seed {record.seed}"
    )
    profile = f", profile {record.profile}" if record.profile else ""
    head = Text(f"{record.title or record.method}  ", style="bold")
    return head.append(cell + profile, style="default")


def _format_metrics(record: Record) -> dict[str, str]:
    texts = {}
    for name in sorted({name for metrics in record.metrics for name in metrics}):
        values = ", ".join(f"{m[name]:.4g}" for m in record.metrics if name in m)
        texts[name] = f"{values} {record.units.get(name, '')}".strip()
    claim = record.claim
    if claim is not None:
        sd = "" if claim.sd is None else f" ± {claim.sd:g}"
        texts["published"] = f"{claim.value:g}{sd} % ({claim.source}; {claim.setting})"
    return texts


def _render_pairs(title: str, values: Mapping[str, str]) -> Table:
    from rich.text import Text

    view = make_table("", "", title=title)
    for name, value in values.items():
        view.add_row(Text(f"  {name}"), Text(value))
    return view


def _render_costs(record: Record) -> Table:
    numbers = ("seconds", "peak MiB", "s/iteration", "from cache")
    view = make_table("stage", *numbers, "key", right=numbers, title="cost")
    for cost in record.costs:
        per = "" if cost.iteration_seconds is None else f"{cost.iteration_seconds:.4f}"
        peak = "" if cost.peak_bytes is None else f"{cost.peak_bytes / 2**20:,.0f}"
        cached = "yes" if cost.cached else "no"
        view.add_row(f"  {cost.stage}", f"{cost.seconds:.1f}", peak, per, cached, cost.key)
    view.add_row("  total", f"{record.seconds:.1f}")
    return view
