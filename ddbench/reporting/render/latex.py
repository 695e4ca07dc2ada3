r"""Views as LaTeX: a `tabular` in the manner of booktabs, to be put into any float."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ddbench.reporting.tables.formatting import format_marks
from ddbench.reporting.tables.views import Cell, Row, Section, View

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "_": r"\_", "&": r"\&",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", "|": "$|$",
    "±": r"$\pm$", "−": "$-$", "–": "--", "—": "---", "Δ": r"$\Delta$", "×": r"$\times$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "≥": r"$\ge$", "≤": r"$\le$",
    "≈": r"$\approx$", "…": r"\ldots{}", "σ": r"$\sigma$", "μ": r"$\mu$", "λ": r"$\lambda$",
    "²": "$^2$", "·": r"$\cdot$",
}  # fmt: skip


def to_latex(view: View) -> str:
    """Writes sections under one head; reference rows below a rule; footnotes below the table."""
    columns = "".join("r" if column.align == "right" else "l" for column in view.columns)
    # In braces: a heading that begins with a bracket would be the option of the row before.
    heads = [_escape(column.heading) for column in view.columns]
    lines = [
        f"% {' '.join(view.title.split())}",
        *([f"% {' '.join(view.subtitle.split())}"] if view.subtitle else []),
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _write_line(heads),
    ]
    for section in view.sections:
        lines += [r"\midrule", *_write_section(section, len(view.columns))]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *_write_notes(view)]) + "\n"


def _write_section(section: Section, width: int) -> Iterator[str]:
    if section.title:
        yield rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{\emph{{{_escape(section.title)}}}}} \\"
        yield r"\addlinespace[2pt]"
    for place, row in enumerate(section.rows):
        if place in section.rules:
            yield rf"\cmidrule{{1-{width}}}"
        yield _write_line([_write_cell(cell, row) for cell in row.cells])


def _write_line(cells: list[str]) -> str:
    # `\\` takes a bracket that follows for its option, also in the next line.
    guarded = [f"{{}}{text}" if text.startswith("[") else text for text in cells]
    return " & ".join(guarded) + r" \\"


def _write_cell(cell: Cell, row: Row) -> str:
    text = _escape(cell.text)
    if cell.strong:
        text = rf"\textbf{{{text}}}"
    elif row.kind == "reference" and cell is row.cells[0]:
        text = rf"\textit{{{text}}}"
    return text + _raise_marks(cell.notes)


def _raise_marks(positions: Iterable[int]) -> str:
    marks = format_marks(positions)
    return rf"\textsuperscript{{{marks}}}" if marks else ""


def _write_notes(view: View) -> list[str]:
    texts = [rf"{_raise_marks([i])}\,{_escape(text)}" for i, text in enumerate(view.notes)]
    texts += [_escape(text) for text in view.remarks]
    if not texts:
        return []
    return [r"\par\smallskip", r"{\footnotesize\raggedright", *(rf"{t}\par" for t in texts), "}"]


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
