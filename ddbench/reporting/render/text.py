"""Views as CSV for programs and as Markdown for GitHub."""

from __future__ import annotations

import csv
import io
import re

from ddbench.reporting.tables.formatting import mark, marks
from ddbench.reporting.tables.views import Cell, Raw, Row, View


def to_csv(view: View) -> str:
    """One row per row of the table: its facts, then the numbers behind its cells, unrounded."""
    rows = [_flat(row) for row in view.rows]
    header = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flat(row: Row) -> dict[str, Raw]:
    found = dict(row.facts)
    for cell in row.cells:
        found.update(cell.numbers)
    return {name: "" if value is None else value for name, value in found.items()}


def to_markdown(view: View) -> str:
    """A GitHub table per section; the best in bold, reference rows in italics."""
    parts = [f"### {_escaped(view.title)}"]
    if view.subtitle:
        parts.append(_escaped(view.subtitle))
    heads = [_escaped(c.heading) + _superscript(c.notes) for c in view.columns]
    rule = ["---:" if c.align == "right" else ":---" for c in view.columns]
    for section in view.sections:
        if section.title:
            parts.append(f"#### {_escaped(section.title)}")
        lines = [heads, rule, *([_cell(c, row) for c in row.cells] for row in section.rows)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    notes = [f"- <sup>{mark(i)}</sup> {_escaped(text)}" for i, text in enumerate(view.notes)]
    notes += [f"- {_escaped(text)}" for text in view.remarks]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _cell(cell: Cell, row: Row) -> str:
    text = _escaped(cell.text)
    if cell.strong:
        text = f"**{text}**"
    elif row.kind == "reference" and cell is row.cells[0]:
        text = f"*{text}*"
    return text + _superscript(cell.notes)


def _superscript(positions: tuple[int, ...]) -> str:
    return f"<sup>{marks(positions)}</sup>" if positions else ""


def _escaped(text: str) -> str:
    """Characters that GitHub would read as markup; an underscore inside a word is none."""
    text = re.sub(r"([\\`*|<>\[\]])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
