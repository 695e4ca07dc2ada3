"""Views on a terminal of any width: columns are left out or wrapped, numbers never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.align import Align
from rich.box import Box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ddbench.reporting.tables.formatting import raised
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

GAP = 2
NARROWEST_LABEL = 16
"""Characters that the first column is wrapped to before columns are left out."""
_TONES = {"": "", "good": "green", "bad": "red", "quiet": "dim"}
_RULES = Box("    \n    \n ── \n    \n ╌╌ \n    \n    \n    \n")
"""A line below the heads, a broken one above reference rows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are drawn, how wide, and where a shorter text must do."""

    panels: tuple[tuple[int, ...], ...]
    """Positions of columns, below each other where they do not fit side by side."""
    widths: dict[int, int]
    brief: frozenset[int]
    left_out: tuple[int, ...]


def to_terminal(view: View) -> TerminalTable:
    """A rich renderable."""
    return TerminalTable(view)


@dataclass(frozen=True)
class TerminalTable:
    """Lays itself out when it is told how much space there is."""

    view: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        view, layout = self.view, fit(self.view, options.max_width)
        yield Text(view.title, style="bold")
        if view.subtitle:
            yield Text(view.subtitle, style="dim")
        for section in view.sections:
            yield Text("")
            if section.title:
                yield Text(section.title, style="bold cyan")
            for number, panel in enumerate(layout.panels):
                if number:
                    yield Text("")
                yield _table(section, view.columns, panel, layout)
        yield from _below(view, layout)
        yield Text("")


def fit(view: View, width: int) -> Layout:
    """The most that `width` characters hold.

    In this order: short texts, a wrapped first column, columns left out from the highest priority
    down, and, where even those that must stay are too wide, panels below each other. What space
    is left then goes to the first column, and to full texts, the most important column first.
    """
    full = {i: _width(view, i, brief=False) for i in range(len(view.columns))}
    short = {i: _width(view, i, brief=True) for i in full}
    widths = {**short, 0: min(full[0], max(NARROWEST_LABEL, _longest_word(view)))}
    kept = list(widths)
    droppable = sorted((i for i in kept if view.columns[i].priority), key=lambda i: (
        -view.columns[i].priority, -i))  # fmt: skip
    left_out = []
    while _total(kept, widths) > width and droppable:
        left_out.append(droppable.pop(0))
        kept.remove(left_out[-1])
    panels = _panels(kept, widths, width)
    slack = width - max(_total(panel, widths) for panel in panels)
    wider = min(slack, full[0] - widths[0])
    widths[0], slack = widths[0] + max(wider, 0), slack - max(wider, 0)
    brief = {i for i in kept if full[i] > short[i]} - {0}
    if len(panels) == 1:
        for i in sorted(brief, key=lambda i: (view.columns[i].priority, i)):
            if full[i] - short[i] <= slack:
                slack -= full[i] - short[i]
                widths[i] = full[i]
                brief.remove(i)
    return Layout(panels, widths, frozenset(brief), tuple(sorted(left_out)))


def _panels(kept: Sequence[int], widths: dict[int, int], width: int) -> tuple[tuple[int, ...], ...]:
    """As many columns beside the first as fit, then the next ones below, and so on."""
    panels, panel = [], [kept[0]]
    for i in kept[1:]:
        if len(panel) > 1 and _total([*panel, i], widths) > width:
            panels.append(tuple(panel))
            panel = [kept[0]]
        panel.append(i)
    return (*panels, tuple(panel))


def _total(columns: Sequence[int], widths: dict[int, int]) -> int:
    return sum(widths[i] for i in columns) + GAP * (len(columns) - 1)


def _width(view: View, place: int, *, brief: bool) -> int:
    """Of the longest text; headings may break between words."""
    column = view.columns[place]
    words = f"{column.heading}{raised(column.notes)}".split()
    texts = [_text(row.cells[place], brief) for row in view.rows]
    return max(cell_len(text) for text in [*words, *texts, ""])


def _longest_word(view: View) -> int:
    words = [word for row in view.rows for word in _text(row.cells[0], False).split()]
    return max((cell_len(word) for word in words), default=0)


def _text(cell: Cell, brief: bool) -> str:
    return (cell.brief if brief and cell.brief else cell.text) + raised(cell.notes)


def _table(
    section: Section, columns: Sequence[Column], panel: Sequence[int], layout: Layout
) -> Table:
    table = Table(box=_RULES, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0),
                  collapse_padding=True, header_style="bold")  # fmt: skip
    for i in panel:
        column = columns[i]
        table.add_column(
            Align(Text(f"{column.heading}{raised(column.notes)}"), column.align, vertical="bottom"),
            justify=column.align, width=layout.widths[i], vertical="top",
            overflow="fold",
        )  # fmt: skip
    before: Row | None = None
    for row in section.rows:
        if row.kind == "reference" and before is not None and before.kind != "reference":
            table.add_section()
        table.add_row(*(_styled(row, i, i in layout.brief) for i in panel))
        before = row
    return table


def _styled(row: Row, place: int, brief: bool) -> Text:
    cell = row.cells[place]
    style = [_TONES[cell.tone], "bold" if cell.strong else ""]
    if place == 0 and row.kind == "reference":
        style.append("italic")
    if place == 0 and row.kind == "failed":
        style.append("red")
    return Text(_text(cell, brief), style=" ".join(word for word in style if word))


def _below(view: View, layout: Layout) -> Iterator[object]:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for position, text in enumerate(view.notes):
        grid.add_row(Text(raised((position,))), Text(text))
    if view.notes:
        yield Text("")
        yield grid
    remarks = list(view.remarks)
    if layout.left_out:
        names = ", ".join(view.columns[i].name for i in layout.left_out)
        remarks.append(f"Too narrow for: {names}. A wider terminal or --format csv shows them.")
    if remarks:
        yield Text("")
    for text in remarks:
        yield Text(text, style="dim")
