"""LaTeX that compiles, with special characters escaped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ddbench.reporting.render import to_latex
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.views import View
from ddbench.store.records import Records, find_record_folders
from tests.doubles.views import grid


def test_latex_escapes_what_is_special_and_balances_its_braces():
    view = grid(
        [["m & n", "a_b %"], ["50 % & #1", "$x^2$ ~ {y} \\z"], ["a", "[7.0, 11.2]"]],
        subtitle="x_y", notes=("p < 0.05 & _",), remarks=("mean ± sd",),
    )  # fmt: skip
    text = to_latex(view)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"m \& n & a\_b \% \\" in body
    assert r"50 \% \& \#1" in body
    assert r"\$x\textasciicircum{}2\$ \textasciitilde{} \{y\} \textbackslash{}z" in body
    assert r"p $<$ 0.05 \& \_" in body
    assert r"mean $\pm$ sd" in body
    assert "{}[7.0" in body
    assert not re.search(r"(?<!\\)[_#]", body)
    bare = re.sub(r"\\[{}]", "", body)
    assert bare.count("{") == bare.count("}")
    assert r"% needs \usepackage{booktabs}" in text


def test_latex_lines_have_as_many_cells_and_only_ascii(board: View):
    text = to_latex(board)
    assert text.isascii()
    inside = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    lines = [line for line in inside if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(board.columns)}
    spec = re.search(r"begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)
    assert spec is not None
    assert len(spec[1]) == len(board.columns)
    for rule in (r"\toprule", r"\midrule", r"\cmidrule", r"\bottomrule", r"\end{tabular}"):
        assert rule in text


FOLDERS = find_record_folders(Path(__file__).parents[3] / "leaderboards")


PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage[margin=1cm,paperwidth=60cm]{geometry}
\begin{document}
"""


def views(folder: Path) -> list[View]:
    return choose_views(Records(folder).all())


def compiled(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """pdfLaTeX's outcome; every error stops it."""
    engine = shutil.which("pdflatex")
    if engine is None:
        pytest.skip("no pdflatex here")
    (folder / "table.tex").write_text(f"{PREAMBLE}{text}\n\\end{{document}}\n")
    return subprocess.run(
        [engine, "-halt-on-error", "-interaction=nonstopmode", "table.tex"],
        cwd=folder, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip


def test_every_committed_table_compiles(tmp_path):
    text = "\n\n\\clearpage\n".join(to_latex(v) for f in FOLDERS for v in views(f))
    done = compiled(text, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000


def test_a_table_that_is_broken_does_not_compile(tmp_path):
    text = to_latex(views(FOLDERS[0])[0]).replace(r"\bottomrule", r"\botomrule")
    assert compiled(text, tmp_path).returncode != 0
