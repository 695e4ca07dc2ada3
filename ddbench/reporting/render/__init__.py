"""A view on paper: on the terminal, as CSV, Markdown or LaTeX. Knows nothing of records.

Imports `ddbench.reporting.tables` and `ddbench.api`, never torch and nothing that computes.
"""

from __future__ import annotations

from ddbench.reporting.render.latex import to_latex
from ddbench.reporting.render.terminal import to_terminal
from ddbench.reporting.render.text import to_csv, to_markdown

__all__ = ["to_csv", "to_latex", "to_markdown", "to_terminal"]
