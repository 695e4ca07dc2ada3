"""Views as CSV for programs and as Markdown for GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ddbench.reporting.tables.formatting import format_marks
from ddbench.reporting.tables.views import Cell, Row, View


def to_csv(view: View) -> str:
    """Writes a line per row: its facts, then the numbers behind its cells, unrounded."""
    import pandas

    rows = [
        {**row.facts, **{n: v for cell in row.cells for n, v in cell.numbers.items()}}
        for row in view.rows
    ]
    # As objects, numbers are written as they are: a column with a gap stays one of whole numbers.
    return str(pandas.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n"))


def to_markdown(view: View) -> str:
    """Writes a GitHub table per section; the best in bold, reference rows in italics."""
    parts = [f"### {_escape(view.title)}"]
    if view.subtitle:
        parts.append(_escape(view.subtitle))
    heads = [_escape(column.heading) for column in view.columns]
    rule = ["---:" if c.align == "right" else ":---" for c in view.columns]
    for section in view.sections:
        if section.title:
            parts.append(f"#### {_escape(section.title)}")
        lines = [heads, rule, *([_write_cell(c, row) for c in row.cells] for row in section.rows)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    notes = [f"- {_raise_marks([i])} {_escape(text)}" for i, text in enumerate(view.notes)]
    notes += [f"- {_escape(text)}" for text in view.remarks]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _write_cell(cell: Cell, row: Row) -> str:
    text = _escape(cell.text)
    if cell.strong:
        text = f"**{text}**"
    elif row.kind == "reference" and cell is row.cells[0]:
        text = f"*{text}*"
    return text + _raise_marks(cell.notes)


def _raise_marks(positions: Iterable[int]) -> str:
    marks = format_marks(positions)
    return f"<sup>{marks}</sup>" if marks else ""


def _escape(text: str) -> str:
    """Escapes what GitHub would read as markup; an underscore inside a word is none."""
    text = re.sub(r"([\\`*|<>\[\]])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
