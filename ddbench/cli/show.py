"""One record, for a person."""

from __future__ import annotations

import json
from typing import Any

from ddbench.api.record import Record


def to_terminal(record: Record) -> Any:
    """A rich renderable: result, cost, what was changed, surroundings."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text(f"{record.title or record.method}  ", style="bold")
    ipc = "all images" if record.ipc is None else f"IPC {record.ipc}"
    head.append(
        f"{record.dataset}, {ipc}, teacher {record.teacher}, student {record.student}, "
        f"labels {record.labels}, {record.protocol}, seed {record.seed}"
        + (f", profile {record.profile}" if record.profile else ""),
        style="default",
    )
    parts: list[Any] = [head]
    if len(record.teachers) > 1:
        parts.append(Text(f"teachers: {', '.join(record.teachers)}"))
    if record.status != "ok":
        parts.append(Text(f"{record.status}: {record.reason}", style="red"))
    parts.append(_pairs("result", _metrics(record)))
    parts.append(_costs(record, Table))
    if record.reports:
        parts.append(_pairs("stages report", {k: f"{v:.5g}" for k, v in record.reports.items()}))
    if record.given:
        whence = f"profile {record.profile} and --set" if record.profile else "--set"
        parts.append(_pairs(f"changed with {whence}", record.given))
    parts.append(Text("configuration", style="bold"))
    parts.append(Text(json.dumps(record.configuration.get("recipe", {}), indent=1)))
    env = {k: str(v) for k, v in record.environment.items() if v is not None}
    parts.append(_pairs("environment", env))
    parts.append(_pairs("again", {"command": record.command, "key": record.key,
                                  "made": record.created}))  # fmt: skip
    return Group(*parts)


def _metrics(record: Record) -> dict[str, str]:
    found = {}
    for name in sorted({n for m in record.metrics for n in m}):
        values = ", ".join(f"{m[name]:.4g}" for m in record.metrics if name in m)
        found[name] = f"{values} {record.units.get(name, '')}".strip()
    if record.claim is not None:
        sd = "" if record.claim.sd is None else f" ± {record.claim.sd:g}"
        found["published"] = f"{record.claim.value:g}{sd} % ({record.claim.source}; " + (
            f"{record.claim.setting})"
        )
    return found


def _pairs(title: str, values: dict[str, str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    view = Table(box=None, show_header=False, title=title, title_justify="left",
                 title_style="bold", pad_edge=False)  # fmt: skip
    view.add_column(no_wrap=True)
    view.add_column(overflow="fold")
    for name, value in values.items():
        view.add_row(Text(f"  {name}"), Text(value))
    return view


def _costs(record: Record, table: Any) -> Any:
    view = table(box=None, title="cost", title_justify="left", title_style="bold", pad_edge=False)
    for name in ("stage", "seconds", "peak MiB", "s/iteration", "from cache", "key"):
        view.add_column(name, justify="left" if name in ("stage", "key") else "right")
    for cost in record.costs:
        per = "" if cost.iteration_seconds is None else f"{cost.iteration_seconds:.4f}"
        peak = "" if cost.peak_bytes is None else f"{cost.peak_bytes / 2**20:,.0f}"
        cached = "yes" if cost.cached else "no"
        view.add_row(f"  {cost.stage}", f"{cost.seconds:.1f}", peak, per, cached, cost.key)
    view.add_row("  total", f"{record.seconds:.1f}")
    return view
