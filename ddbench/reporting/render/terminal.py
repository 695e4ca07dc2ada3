"""Views on a terminal of any width: columns are left out or wrapped, numbers never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.align import Align
from rich.box import Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from ddbench.reporting.tables.formatting import raise_marks
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View

GAP = 2
NARROWEST_LABEL = 16
"""Characters that the first column is wrapped to before columns are left out."""
_TONES = {"": "", "good": "green", "bad": "red", "quiet": "dim"}
_RULES = Box("    \n    \n ── \n    \n ╌╌ \n    \n    \n    \n")
"""A line below the heads, a broken one above reference rows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Choice of columns for a width."""

    panels: tuple[tuple[int, ...], ...]
    """Positions of columns, below each other where they do not fit side by side."""
    widths: dict[int, int]
    brief: frozenset[int]
    """Positions of columns whose cells show their shorter texts."""
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class TerminalTable:
    """A rich renderable, laid out when it is told how much space there is."""

    view: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        view, layout = self.view, lay_out(self.view, options.max_width)
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
                yield _make_table(section, view.columns, panel, layout)
        yield from _write_below(view, layout)
        yield Text("")


def to_terminal(view: View) -> TerminalTable:
    """Makes a rich renderable of a view."""
    return TerminalTable(view)


def lay_out(view: View, width: int) -> Layout:
    """Chooses the most that `width` characters hold.

    In this order: short texts, a wrapped first column, columns left out from the highest priority
    down, and, where even those that must stay are too wide, panels below each other. What space
    is left then goes to the first column, and to full texts, the most important column first.
    """
    full = {i: _measure(view, i, brief=False) for i in range(len(view.columns))}
    short = {i: _measure(view, i, brief=True) for i in full}
    widths = {**short, 0: min(full[0], max(NARROWEST_LABEL, _measure_longest_word(view)))}
    kept = list(widths)
    droppable = [i for i in kept if view.columns[i].priority]
    droppable.sort(key=lambda i: (-view.columns[i].priority, -i))
    left_out = []
    while _add_up(kept, widths) > width and droppable:
        left_out.append(droppable.pop(0))
        kept.remove(left_out[-1])
    panels = _split(kept, widths, width)
    slack = width - max(_add_up(panel, widths) for panel in panels)
    wider = max(min(slack, full[0] - widths[0]), 0)
    widths[0], slack = widths[0] + wider, slack - wider
    brief = {i for i in kept if full[i] > short[i]} - {0}
    if len(panels) == 1:
        for i in sorted(brief, key=lambda i: (view.columns[i].priority, i)):
            if full[i] - short[i] <= slack:
                slack -= full[i] - short[i]
                widths[i] = full[i]
                brief.remove(i)
    return Layout(panels, widths, frozenset(brief), tuple(sorted(left_out)))


def _split(kept: Sequence[int], widths: dict[int, int], width: int) -> tuple[tuple[int, ...], ...]:
    """Puts as many columns beside the first as fit, then the next ones below, and so on."""
    panels, panel = [], [kept[0]]
    for i in kept[1:]:
        if len(panel) > 1 and _add_up([*panel, i], widths) > width:
            panels.append(tuple(panel))
            panel = [kept[0]]
        panel.append(i)
    return (*panels, tuple(panel))


def _add_up(columns: Sequence[int], widths: dict[int, int]) -> int:
    return sum(widths[i] for i in columns) + GAP * (len(columns) - 1)


def _measure(view: View, place: int, *, brief: bool) -> int:
    """Returns the width of a column's longest text; headings may break between words."""
    words = view.columns[place].heading.split()
    texts = [_write_cell(row.cells[place], brief) for row in view.rows]
    return max(cell_len(text) for text in [*words, *texts, ""])


def _measure_longest_word(view: View) -> int:
    words = [word for row in view.rows for word in _write_cell(row.cells[0], False).split()]
    return max((cell_len(word) for word in words), default=0)


def _write_cell(cell: Cell, brief: bool) -> str:
    return (cell.brief if brief and cell.brief else cell.text) + raise_marks(cell.notes)


def _make_table(
    section: Section, columns: Sequence[Column], panel: Sequence[int], layout: Layout
) -> Table:
    table = Table(
        box=_RULES,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
        collapse_padding=True,
        header_style="bold",
    )
    for i in panel:
        table.add_column(
            Align(Text(columns[i].heading), columns[i].align, vertical="bottom"),
            justify=columns[i].align,
            width=layout.widths[i],
            vertical="top",
            overflow="fold",
        )
    for place, row in enumerate(section.rows):
        if place in section.rules:
            table.add_section()
        table.add_row(*(_style(row, i, i in layout.brief) for i in panel))
    return table


def _style(row: Row, place: int, brief: bool) -> Text:
    cell = row.cells[place]
    style = [_TONES[cell.tone], "bold" if cell.strong else ""]
    if place == 0:
        style.append({"reference": "italic", "failed": "red", "entry": ""}[row.kind])
    return Text(_write_cell(cell, brief), style=" ".join(word for word in style if word))


def _write_below(view: View, layout: Layout) -> Iterator[object]:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", style="dim")
    for position, text in enumerate(view.notes):
        grid.add_row(Text(raise_marks([position])), Text(text))
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
