"""Intervals, paired tests and corrections against scipy, definitions and cases by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ddbench.reporting.tables.statistics import (
    bootstrap_interval,
    compare_pairs,
    correct_by_holm,
    summarize,
)

# -- paired tests ----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8))
def test_paired_agrees_with_scipy_wherever_scipy_has_an_answer(pairs):
    a, b = ({i: pair[k] for i, pair in enumerate(pairs)} for k in (0, 1))
    found = compare_pairs(a, b)
    assert found is not None
    spread = pd.Series([x - y for x, y in pairs]).std()
    if spread > 1e-6:
        assert found.p == pytest.approx(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue, rel=1e-6)
    if found.p is not None:
        assert 0 <= found.p <= 1
        assert found.low <= found.difference <= found.high


def test_what_cannot_be_tested_has_no_p():
    assert compare_pairs({0: 1.0}, {1: 2.0}) is None
    assert compare_pairs({0: 3.0}, {0: 2.0})[:4] == (1.0, None, None, None)
    assert compare_pairs({0: 50.1, 1: 51.1}, {0: 40.1, 1: 41.1}).p is None
    assert summarize([]) is None
    right = [[397, 385, 391], [398, 384, 391]]
    equal = [summarize(100 * n / 450 for n in seeds) for seeds in right]
    assert equal[0].mean == equal[1].mean  # as many right: a tie, whatever floats make of it
    assert summarize([4.0]) == (4.0, None, 1)


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
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_by_holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert correct_by_holm([0.2, None, 0.01]) == [pytest.approx(0.2), None, pytest.approx(0.02)]
    assert correct_by_holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_stepwise_procedure_rejects(p_values, level):
    """The procedure of 1979: from the smallest p on, until one is above level / (m − i + 1)."""
    rejected = set()
    for place, (p, i) in enumerate(sorted((p, i) for i, p in enumerate(p_values))):
        if (len(p_values) - place) * p > level:
            break
        rejected.add(i)
    corrected = correct_by_holm(p_values)
    assert {i for i, p in enumerate(corrected) if p <= level} == rejected
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
