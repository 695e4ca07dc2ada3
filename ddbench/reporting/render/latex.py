r"""Views as LaTeX: a `tabular` in the manner of booktabs, to be put into any float."""

from __future__ import annotations

from collections.abc import Iterator

from ddbench.reporting.tables.formatting import mark, marks
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
    """Sections under one head; reference rows below a rule; footnotes below the table."""
    columns = "".join("r" if column.align == "right" else "l" for column in view.columns)
    # In braces: a heading that begins with a bracket would be the option of the row before.
    heads = [_escaped(c.heading) + _superscript(c.notes) for c in view.columns]
    lines = [
        f"% {' '.join(view.title.split())}",
        *([f"% {' '.join(view.subtitle.split())}"] if view.subtitle else []),
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _line(heads),
    ]
    for section in view.sections:
        lines += [r"\midrule", *_section(section, len(view.columns))]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *_notes(view)]) + "\n"


def _section(section: Section, width: int) -> Iterator[str]:
    if section.title:
        yield rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{\emph{{{_escaped(section.title)}}}}} \\"
        yield r"\addlinespace[2pt]"
    before: Row | None = None
    for row in section.rows:
        if row.kind == "reference" and before is not None and before.kind != "reference":
            yield rf"\cmidrule{{1-{width}}}"
        yield _line([_cell(cell, row) for cell in row.cells])
        before = row


def _line(cells: list[str]) -> str:
    # `\\` takes a bracket that follows for its option, also in the next line.
    guarded = [f"{{}}{text}" if text.startswith("[") else text for text in cells]
    return " & ".join(guarded) + r" \\"


def _cell(cell: Cell, row: Row) -> str:
    text = _escaped(cell.text)
    if cell.strong:
        text = rf"\textbf{{{text}}}"
    elif row.kind == "reference" and cell is row.cells[0]:
        text = rf"\textit{{{text}}}"
    return text + _superscript(cell.notes)


def _superscript(positions: tuple[int, ...]) -> str:
    return rf"\textsuperscript{{{marks(positions)}}}" if positions else ""


def _notes(view: View) -> list[str]:
    texts = [
        *(rf"\textsuperscript{{{mark(i)}}}\,{_escaped(text)}" for i, text in enumerate(view.notes)),
        *(_escaped(text) for text in view.remarks),
    ]
    if not texts:
        return []
    return [r"\par\smallskip", r"{\footnotesize\raggedright", *(rf"{t}\par" for t in texts), "}"]


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
