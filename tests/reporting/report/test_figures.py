"""Plots as files for papers."""

from __future__ import annotations

import sys

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.reporting.report.figures import write_figures
from ddbench.reporting.report.plots import make_plots
from ddbench.reporting.report.rows import make_rows
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.row_names import label_entries
from tests.doubles.pages import few


def rows():
    return make_rows(label_entries(gather(few())), {})


def test_figures_are_svg_and_pdf_and_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    plots = make_plots(rows())
    first = write_figures(plots, tmp_path / "a")
    again = write_figures(plots, tmp_path / "b")
    assert len(first) == 2 * len(plots)
    for one, other in zip(first, again, strict=True):
        data = one.read_bytes()
        assert data == other.read_bytes()
        assert data.startswith(b"%PDF" if one.suffix == ".pdf" else b"<?xml")
    svg = next(p for p in first if p.name == "digits-total-time.svg").read_text()
    assert "digits: accuracy against total time" in svg  # text is text


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DDBenchError) as caught:
        write_figures(make_plots(rows()), tmp_path)
    assert "ddbench[figures]" in caught.value.hint
