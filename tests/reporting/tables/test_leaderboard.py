"""The leaderboard against pandas: its rows, sections and columns."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pandas as pd
import pytest
from scipy import stats

from ddbench.api.record import StageCost
from ddbench.reporting.tables import choose_views
from tests.doubles.records import cell, numbers, record, rows


def test_nothing_makes_no_view():
    assert choose_views([]) == []


def test_means_and_spreads_are_those_of_pandas():
    rng = random.Random(1)
    made = [record(m, rng.uniform(0, 100), seed) for m in ("wmdd", "sre2l", "random")
            for seed in range(5)]  # fmt: skip
    frame = pd.DataFrame([{"method": r.method, "top1": r.metrics[0]["top1"]} for r in made])
    expected = frame.groupby("method")["top1"].agg(["mean", "std", "sem"])
    for row in choose_views(made)[0].rows:
        found, want = numbers(row), expected.loc[row.facts["method"]]
        assert found["top1_mean"] == pytest.approx(want["mean"], rel=1e-12)
        assert found["top1_sd"] == pytest.approx(want["std"], rel=1e-12)
        assert found["top1_ci95"] == pytest.approx(want["sem"] * stats.t.ppf(0.975, 4), rel=1e-9)


def test_best_first_and_reference_rows_last():
    view = choose_views([
        record("full", 99, ipc=None), record("random", 90), record("low", 10), record("high", 80),
        record("broken", status="error", reason="no such layer"),
    ])[0]  # fmt: skip
    assert list(rows(view)) == ["high", "low", "broken", "random", "full"]
    assert [row.kind for row in view.rows] == ["entry", "entry", "failed", "reference", "reference"]
    assert [row.cells[1].strong for row in view.rows] == [True, False, False, False, False]


def test_failed_seeds_are_counted_and_explained():
    view = choose_views([
        record("wmdd", 50, 0), record("wmdd", 54, 1),
        record("wmdd", seed=2, status="oom", reason="out of memory at step 3\n  hint: halve it"),
        record("dm", seed=0, status="diverged", reason="loss is not a number"),
        record("dm", seed=1, status="diverged", reason="loss is not a number"),
    ])[0]  # fmt: skip
    partly, none = cell(view, "wmdd", "top-1"), cell(view, "dm", "top-1")
    assert partly.text == "52.0 ± 2.8 (2/3)"
    assert view.notes[partly.notes[0]] == "seed 2 oom: out of memory at step 3"
    assert none.text == "diverged (0/2)"
    assert view.notes[none.notes[0]] == "seeds 0 and 1 diverged: loss is not a number"
    facts = {row.facts["method"]: row.facts for row in view.rows}
    assert (facts["wmdd"]["status"], facts["wmdd"]["n"], facts["wmdd"]["seeds"]) == (
        "partial",
        2,
        3,
    )
    assert (facts["dm"]["status"], facts["dm"]["n"]) == ("diverged", 0)


def test_held_out_images_never_stand_beside_test_data():
    view = choose_views([record("wmdd", 50), record("wmdd", 60, holdout=0.2)])[0]
    assert [len(s.rows) for s in view.sections] == [1, 1]
    assert view.sections[1].title == "judged on held-out training images (20 %)"
    alone = choose_views([record("wmdd", 60, holdout=0.2)])[0]
    assert "judged on held-out training images (20 %)" in alone.subtitle


def test_all_images_stand_beside_every_ipc():
    view = choose_views([record("wmdd", 50, ipc=1), record("wmdd", 60, ipc=10),
                         record("full", 99, ipc=None)])[0]  # fmt: skip
    assert [s.title for s in view.sections] == ["IPC 1", "IPC 10"]
    assert all(s.rows[-1].facts["method"] == "full" for s in view.sections)
    assert all(s.rows[-1].facts["ipc"] is None for s in view.sections)


def test_costs_and_other_metrics_become_columns():
    cost = {"key": "k", "device": "CPU, 2 threads"}
    made = [
        record("wmdd", 50, seed, metrics=[{"top1": 50, "ece": 4.0 + seed}],
               directions={"top1": True, "ece": False}, units={"top1": "%", "ece": "%"},
               image_bytes=1_228_800, label_bytes=800,
               costs=[StageCost(stage="squeeze", seconds=1000, peak_bytes=1_200_000_000, **cost),
                      StageCost(stage="recover", seconds=234 + seed, peak_bytes=5, **cost,
                                iteration_seconds=0.05 + 0.02 * seed, iteration_sd=0.003)])
        for seed in range(2)
    ]  # fmt: skip
    view = choose_views(made)[0]
    texts = {c.name: cell(view, "wmdd", c.name).text for c in view.columns}
    assert texts["ece ↓"] == "4.5 ± 0.7"
    assert texts["per iter."] == "0.0600 ± 0.0030"
    assert texts["total"] == "1,230"
    assert texts["peak mem."] == "1.2 GB"
    assert texts["stored"] == "1.2 MB + 800 B"
    assert any("resident memory" in text for text in view.remarks)


def test_a_thousand_records_keep_their_numbers():
    made = [record(f"m{i % 50}", (i * 37) % 101, i // 50) for i in range(1000)]
    view = choose_views(made)[0]
    assert len(list(view.rows)) == 50
    assert all(row.facts["n"] == 20 for row in view.rows)
    total = sum(numbers(row)["top1_mean"] for row in view.rows) / 50
    assert total == pytest.approx(math.fsum(r.metrics[0]["top1"] for r in made) / 1000)


def test_tables_need_no_torch():
    modules = "ddbench.reporting.tables, ddbench.reporting.render"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
