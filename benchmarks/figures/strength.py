"""Figure 5: accuracy by lambda, the weight of the BatchNorm term."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures.files import write_figure
from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.statistics import Summary


def collect_curves(records: Sequence[Record]) -> dict[str, dict[float, Summary]]:
    """Collects top-1 by the weight of the only regularizer, for each data set and IPC.

    Rows of no regularizer or of several are left out.

    Raises:
        DDBenchError: fewer than two weights of one data set.
    """
    found: dict[str, dict[float, Summary]] = {}
    for entry in gather(records):
        weight = read_strength(entry.first)
        top1 = entry.summarize("top1")
        if weight is not None and top1 is not None:
            name = f"{entry.setting.dataset}, IPC {entry.setting.ipc}"
            found.setdefault(name, {})[weight] = top1
    found = {name: dict(sorted(c.items())) for name, c in found.items() if len(c) > 1}
    if not found:
        raise DDBenchError(
            "figure 5 needs records of several weights",
            hint="run it first: ddbench run benchmarks/figure5.toml --profile cpu",
        )
    return found


def read_strength(record: Record) -> float | None:
    """Reads lambda off a record: a term is `[name, {field: value}]`, as `spell` wrote it."""
    terms = record.configuration.get("recipe", {}).get("regularizers", [])
    return float(terms[0][1]["weight"]) if len(terms) == 1 else None


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes `figure5.svg`, `.pdf` and `.png`; returns their paths."""
    from matplotlib import pyplot

    found = collect_curves(records)
    figure, axis = pyplot.subplots(figsize=(4.5, 3))
    for name, curve in found.items():
        _draw_curve(axis, name, curve)
    axis.set_xscale("log")
    axis.set_xlabel("lambda")
    axis.set_ylabel("top-1 %")
    axis.legend(frameon=False)
    return write_figure(figure, folder, "figure5")


def _draw_curve(axis: Any, name: str, curve: dict[float, Summary]) -> None:
    """Draws means, with bars of one sample standard deviation."""
    means = [top1.mean for top1 in curve.values()]
    spreads = [top1.sd or 0.0 for top1 in curve.values()]
    axis.errorbar(list(curve), means, yerr=spreads, marker="o", capsize=3, label=name)
