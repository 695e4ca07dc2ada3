"""Ranks over cells and their critical difference against scipy and published tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ddbench.reporting.tables.average_ranks import critical_difference, rank_methods


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
    found = rank_methods(cells)
    assert found is not None
    means = {"a": (1.5 + 1 + 1) / 3, "b": (1.5 + 3 + 2.5) / 3, "c": (3 + 2 + 2.5) / 3}
    assert found.ranks == pytest.approx(means)
    assert list(found.ranks) == ["a", "b", "c"]
    columns = [[cell[name] for cell in cells] for name in "abc"]
    assert found.p == pytest.approx(stats.friedmanchisquare(*columns).pvalue)
    assert found.groups == [("a", "b", "c")]


def test_methods_far_apart_are_told_apart():
    cells = [{"a": 9.0, "b": 8.0, "c": 2.0, "d": 1.0}] * 30
    found = rank_methods(cells)
    assert found is not None
    assert found.difference < 1
    assert found.groups == []
    assert rank_methods(cells[:1]) is None
    assert rank_methods([{"a": 1.0}, {"a": 2.0}]) is None
    assert rank_methods([]) is None


def test_methods_that_lack_a_cell_are_left_out():
    found = rank_methods([{"a": 1.0, "b": 2.0, "c": 9.0}, {"b": 2.0, "a": 1.0, "d": 9.0}])
    assert found is not None
    assert found.ranks == {"b": 1, "a": 2}
    assert (found.left_out, found.p, found.cells) == (("c", "d"), None, 2)
