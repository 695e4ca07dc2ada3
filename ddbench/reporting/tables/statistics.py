"""Statistics of a few seeds: spreads, intervals, paired tests and their corrections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
"""p below which a difference is taken for one."""
RESAMPLES = 9999
FEW = 8
"""Number of values below which an interval by resampling is too narrow to be trusted."""


class Summary(NamedTuple):
    """Mean and spread of n values."""

    mean: float
    sd: float | None
    """Sample standard deviation; None for one value."""
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % confidence interval of the mean, by Student's t."""
        if self.sd is None:
            return None
        # `scipy.stats` would do the same and takes a second to import.
        from scipy.special import stdtrit

        quantile = float(stdtrit(self.n - 1, (1 + CONFIDENCE) / 2))
        return quantile * self.sd / math.sqrt(self.n)


class Paired(NamedTuple):
    """A difference over shared seeds, with its 95 % interval and p of a paired t-test."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    """None with fewer than two pairs, or where all pairs differ by the same."""
    n: int


def summarize(values: Iterable[float]) -> Summary | None:
    """Computes mean and sample standard deviation; None of no values.

    The mean has fourteen digits: rows that are right as often are equal, in whatever order their
    seeds' shares are added.
    """
    given = list(values)
    if not given:
        return None
    mean = float(f"{fmean(given):.14g}")
    return Summary(mean, stdev(given) if len(given) > 1 else None, len(given))


def compare_pairs(a: Mapping[int, float], b: Mapping[int, float]) -> Paired | None:
    """Computes and tests a − b over the seeds that both have; None where there are none.

    Args:
        a: Seed -> value.
        b: Seed -> value.
    """
    seeds = sorted(a.keys() & b.keys())
    spread = summarize(a[seed] - b[seed] for seed in seeds)
    if spread is None:
        return None
    # Equal differences leave nothing to test: what remains of their spread is rounding.
    scale = max(max(abs(a[s]), abs(b[s])) for s in seeds)
    if spread.sd is None or spread.sd <= 1e-12 * scale:
        return Paired(spread.mean, None, None, None, spread.n)
    from scipy.special import stdtr

    reach = spread.half_width
    assert reach is not None
    t = spread.mean / (spread.sd / math.sqrt(spread.n))
    p = 2 * float(stdtr(spread.n - 1, -abs(t)))
    return Paired(spread.mean, spread.mean - reach, spread.mean + reach, p, spread.n)


def is_significant(p: float | None) -> bool:
    """Tells whether a test finds a difference; False for a test without a p."""
    return p is not None and p < SIGNIFICANT


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Computes the 95 % interval of the mean by resampling values; None for fewer than two.

    BCa (Efron, 1987) from `FEW` values on, else percentiles, for which no value may be left out.
    The draws are the same every time.
    """
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        return low, high  # nothing to resample: scipy has no answer
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        (np.asarray(values),),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="BCa" if len(values) >= FEW else "percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def correct_by_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Applies Holm's step-down correction (1979), which keeps the error rate of the family.

    Of m tests the i-th smallest p is multiplied by m − i + 1, and never falls below a smaller one.
    Tests without a p count for nothing.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p))
        corrected[i] = highest
    return corrected
