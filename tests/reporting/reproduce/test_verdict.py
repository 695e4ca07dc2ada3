"""The rule against scipy and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ddbench.reporting.reproduce import judge


def test_the_interval_is_the_prediction_interval_of_a_new_mean():
    committed, again = {0: 77.0, 1: 72.0, 2: 83.0}, {7: 70.0, 8: 71.0}
    found = judge(committed, again)
    values = np.array(list(committed.values()))
    scale = values.std(ddof=1) * np.sqrt(1 / 3 + 1 / 2)
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=scale)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_a_row_drawn_alike_holds_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    draws = rng.normal(50, 2, (4000, 4))
    held = [judge(dict(enumerate(d[:3])), {9: d[3]}).holds for d in draws.tolist()]
    # Three standard errors of 4,000 draws are one per cent.
    assert np.mean(held) == pytest.approx(0.95, abs=0.0104)


@pytest.mark.parametrize(("value", "holds"), [(54.9, True), (45.1, True), (55.1, False)])
def test_a_row_of_one_seed_has_a_tolerance(value, holds):
    found = judge({0: 50.0}, {1: value})
    assert found.holds is holds
    assert "tolerance of 5 points for a row of one seed" in found.write_sentence("row")


def test_equal_seeds_have_a_tolerance_too():
    assert judge({0: 50.0, 1: 50.0}, {2: 51.0}).holds
    assert not judge({0: 50.0, 1: 50.0}, {2: 51.0}, tolerance=0.5).holds


def test_the_sentence_says_all_of_it():
    found = judge({0: 77.0, 1: 72.0, 2: 83.0}, {7: 10.0})
    assert found.write_sentence("WMDD") == (
        "WMDD does not hold: committed 77.3 ± 5.5 % (seeds 0, 1 and 2), again 10.0 % (seed 7), "
        "outside [50.0, 104.7], the 95 % prediction interval of its 3 seeds"
    )
