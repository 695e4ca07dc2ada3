"""Measurements beside what was promised, as a table, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.perf.timing import Timing


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one piece of work."""

    name: str
    unit: str = ""
    timing: Timing = field(default_factory=Timing)
    peak: int | None = None
    added: int | None = None
    """Part of the peak that came on top of the loaded libraries."""
    tensors: int | None = None
    """Bytes that torch had given out at the height."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A ratio, or a number of seconds, and what it was promised to be."""

    name: str
    value: float
    most: float | None = None
    least: float | None = None
    goal: float | None = None
    """A value better than promised."""

    @property
    def held(self) -> bool:
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    @property
    def promise(self) -> str:
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        return f"{sign} {bound:g}" + (f", goal {self.goal:g}" if self.goal is not None else "")


@dataclass(frozen=True, slots=True)
class Curve:
    """Cost against one size, the others as they are."""

    axis: str
    sizes: Sequence[int]
    rows: Mapping[str, Sequence[Row]]
    """Rows of each variant, one a size."""


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the report."""

    title: str
    rows: Sequence[Row]
    limits: Sequence[Limit]
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()
    """Drawn below the tables."""


TIMES = ("variant", "wall", "CPU", "unit", "peak", "of it working", "tensors")
PICTURE = "growth"
"""File of the curves, less its ending."""
PROMISES = ("to be shown", "measured", "promised", "")


def _write_cells(row: Row) -> tuple[str, ...]:
    def bytes_(count: int | None) -> str:
        return "" if count is None else f"{count / 1e6:,.0f} MB"

    times = ("", "")
    if row.timing.wall:
        times = (f"{row.timing.seconds:.4g}", f"{row.timing.cpu_seconds:.4g}")
    return (row.name, *times, row.unit, bytes_(row.peak), bytes_(row.added), bytes_(row.tensors))


def _write_promise(limit: Limit) -> tuple[str, ...]:
    return (limit.name, f"{limit.value:.3g}", limit.promise, "held" if limit.held else "NOT HELD")


def show(part: Part, console: Console) -> None:
    """Prints a section."""
    for title, heads, lines in (
        (part.title, TIMES, map(_write_cells, part.rows)),
        (None, PROMISES, map(_write_promise, part.limits)),
    ):
        table = Table(*heads, title=title, title_justify="left")
        for line in lines:
            colour = {"held": "green", "NOT HELD": "red"}.get(line[-1])
            table.add_row(*line, style=colour)
        console.print(table)
    for note in part.notes:
        console.print(f"  {note}")


def to_markdown(parts: Sequence[Part], card: dict[str, Any], command: str) -> str:
    """Writes the report as Markdown."""
    where = card["gpu"] or f"{card['cpu']}, {card['threads']} thread(s) of {card['cores']} core(s)"
    torch_version = card["packages"]["torch"]
    lines = [
        "# As fast as the teacher allows",
        "",
        f"`{command}` on {where}; torch {torch_version}.",
    ]
    lines += ["Medians over interleaved repeats; ratios within a repeat.", ""]
    for part in parts:
        lines += [
            f"## {part.title}",
            "",
            *_draw_grid(TIMES, [_write_cells(row) for row in part.rows]),
            "",
        ]
        lines += [*_draw_grid(PROMISES, [_write_promise(limit) for limit in part.limits]), ""]
        lines += [line for note in part.notes for line in (note, "")]
        if part.curves:
            lines += [f"![{part.title}]({PICTURE}.png)", ""]
    return "\n".join(lines)


def _draw_grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def to_json(parts: Sequence[Part], card: dict[str, Any], command: str) -> dict[str, Any]:
    """Returns every repeat, so that spreads can be looked at."""
    return {
        "command": command,
        "environment": card,
        "parts": [
            {
                "title": part.title,
                "rows": [
                    {
                        "name": row.name,
                        "unit": row.unit,
                        "peak_bytes": row.peak,
                        "added_bytes": row.added,
                        "wall": row.timing.wall,
                        "cpu": row.timing.cpu,
                    }
                    for row in part.rows
                ],
                "limits": [
                    {
                        "name": limit.name,
                        "value": limit.value,
                        "promised": limit.promise,
                        "held": limit.held,
                    }
                    for limit in part.limits
                ],
                "notes": list(part.notes),
            }
            for part in parts
        ],
    }
