"""Intervals, corrections and ranks against scipy, published tables and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.reporting.render.critical_difference import write_diagram
from ddbench.reporting.tables import average_ranking, certainty_views
from ddbench.reporting.tables.average_ranks import critical_difference, rank
from ddbench.reporting.tables.statistics import bootstrap_interval, holm


def record(method, top1, seed=0, ipc=1, **changes) -> Record:
    fields = {
        "key": f"{method}-{seed}-{ipc}", "status": "ok", "method": method, "dataset": "digits",
        "ipc": ipc, "teacher": "resnet18", "student": "resnet18", "labels": "fkd",
        "protocol": "v1", "seed": seed, "baseline": method in ("random", "full"),
        "metrics": [{"top1": top1}], "units": {"top1": "%"},
        "configuration": {"method": method},
    }  # fmt: skip
    return Record(**(fields | changes))


def numbers(view):
    return {
        row.cells[0].text: {k: v for c in row.cells for k, v in c.numbers.items()}
        for row in view.rows
    }


# -- intervals -------------------------------------------------------------------------------------


def test_the_interval_is_that_of_scipy_and_the_same_every_time():
    values = np.random.default_rng(5).normal(50, 3, size=12).tolist()
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa",
                             rng=np.random.default_rng(1)).confidence_interval  # fmt: skip
    found = bootstrap_interval(values)
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.1)
    assert found == bootstrap_interval(values)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_the_interval_of_few_values_lies_within_them(values):
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_two_values_by_hand():
    """Of their resamples a quarter is 40 and a quarter 60: more than the tails of 2.5 %."""
    assert bootstrap_interval([40.0, 60.0]) == pytest.approx((40, 60))
    assert bootstrap_interval([50.0, 50.0, 50.0]) == (50, 50)
    assert bootstrap_interval([50.0]) is None
    assert bootstrap_interval([]) is None


# -- Holm ------------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2, None, 0.01]) == [pytest.approx(0.2), None, pytest.approx(0.02)]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p_values, level):
    """The procedure of 1979: from the smallest p on, until one is above level / (m − i + 1)."""
    rejected = set()
    for place, (p, i) in enumerate(sorted((p, i) for i, p in enumerate(p_values))):
        if (len(p_values) - place) * p > level:
            break
        rejected.add(i)
    corrected = holm(p_values)
    assert {i for i, p in enumerate(corrected) if p <= level} == rejected
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))


# -- ranks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)],
)
def test_critical_differences_are_those_of_the_published_table(methods, q):
    """Demšar (JMLR 2006), Table 5, for the two-tailed Nemenyi test at 5 %."""
    want = q * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(want, rel=5e-4)


def test_ranks_share_ties_and_agree_with_scipy():
    cells = [{"a": 50.0, "b": 50.0, "c": 40.0}, {"a": 60.0, "b": 55.0, "c": 58.0},
             {"a": 70.0, "b": 60.0, "c": 60.0}]  # fmt: skip
    found = rank(cells)
    assert found is not None
    means = {"a": (1.5 + 1 + 1) / 3, "b": (1.5 + 3 + 2.5) / 3, "c": (3 + 2 + 2.5) / 3}
    assert found.ranks == pytest.approx(means)
    assert list(found.ranks) == ["a", "b", "c"]
    columns = [[cell[name] for cell in cells] for name in "abc"]
    assert found.p == pytest.approx(stats.friedmanchisquare(*columns).pvalue)
    assert found.groups == [("a", "b", "c")]


def test_methods_far_apart_are_told_apart():
    cells = [{"a": 9.0, "b": 8.0, "c": 2.0, "d": 1.0}] * 30
    found = rank(cells)
    assert found is not None
    assert found.difference < 1
    assert found.groups == []
    assert rank(cells[:1]) is None
    assert rank([{"a": 1.0}, {"a": 2.0}]) is None


# -- views -----------------------------------------------------------------------------------------

SEEDS = range(6)
GRID = [
    *(record(m, base + jitter * (s % 3) + 0.1 * s, s, ipc)
      for m, base, jitter in (("wmdd", 70, 0.5), ("sre2l", 70.3, 0.1), ("random", 40, 0.2))
      for s in SEEDS for ipc in (1, 10)),
    record("full", 95, ipc=None),
    *(record("dm", 55 + s, s) for s in SEEDS),
]  # fmt: skip


def test_rows_that_no_test_tells_apart_share_their_ranks():
    found = numbers(certainty_views(GRID)[0])
    assert (found["wmdd"]["rank_first"], found["wmdd"]["rank_last"]) == (1, 2)
    assert (found["sre2l"]["rank_first"], found["sre2l"]["rank_last"]) == (1, 2)
    assert found["random"]["rank_first"] == found["random"]["rank_last"]
    assert "full" not in found
    row = found["wmdd"]
    assert row["n"] == len(SEEDS)
    assert row["t_low"] < row["bootstrap_low"] < row["top1_mean"] < row["bootstrap_high"]


def test_every_pair_is_tested_and_corrected():
    (view,) = [v for v in certainty_views(GRID) if v.title.startswith("Paired")]
    first = list(view.sections[0].rows)
    assert len(first) == 6  # of four methods at IPC 1
    cells = [{k: v for c in row.cells for k, v in c.numbers.items()} for row in first]
    assert [c["p_holm"] for c in cells] == pytest.approx(holm([c["p"] for c in cells]))


def test_average_ranks_leave_out_who_lacks_a_cell_and_say_so():
    (view,) = [v for v in certainty_views(GRID) if v.title.startswith("Average")]
    found = numbers(view)
    assert set(found) == {"wmdd", "sre2l", "random"}
    assert found["random"]["average_rank"] == 3
    assert any("dm" in remark for remark in view.remarks)


# -- the diagram -----------------------------------------------------------------------------------


def test_the_diagram_names_every_method_and_is_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    ranking = average_ranking(GRID)
    assert ranking is not None
    for name in ("a.svg", "b.svg", "c.pdf", "d.png"):
        write_diagram(ranking, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for name in ("wmdd", "sre2l", "random", "critical difference"):
        assert name in text


def test_a_diagram_of_another_kind_is_refused(tmp_path):
    ranking = average_ranking(GRID)
    assert ranking is not None
    with pytest.raises(DDBenchError, match=r"ranks\.gif") as caught:
        write_diagram(ranking, tmp_path / "ranks.gif")
    assert "ranks.svg" in caught.value.hint
