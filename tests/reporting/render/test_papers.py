"""What goes into papers: LaTeX that compiles, CSV that pandas reads back number for number."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from ddbench.reporting.render import to_csv, to_latex
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.views import View
from ddbench.store.records import Records, find_record_folders

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


# Newer pandas read floats exactly as they are, and say that the option is no longer needed.
@pytest.mark.filterwarnings("ignore:.*float_precision")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_csv_comes_back_from_pandas_as_it_was(folder):
    for view in views(folder):
        text = to_csv(view)
        # pandas' own parser of floats is off by a bit unless it is told otherwise.
        frame = pd.read_csv(io.StringIO(text), float_precision="round_trip")
        rows = list(view.rows)
        assert len(frame) == len(rows)
        for (_, found), row in zip(frame.iterrows(), rows, strict=True):
            told = {**row.facts, **{k: v for c in row.cells for k, v in c.numbers.items()}}
            for name, value in told.items():
                if value is None or value == "":
                    assert pd.isna(found[name])
                elif isinstance(value, float):
                    assert found[name] == value or math.isnan(value)
                else:
                    assert str(found[name]).removesuffix(".0") == str(value), name
        again = frame.to_csv(index=False, lineterminator="\n")
        pd.testing.assert_frame_equal(
            pd.read_csv(io.StringIO(again), float_precision="round_trip"), frame
        )
