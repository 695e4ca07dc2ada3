"""Judges whether a row holds: the rule, and the sentence that says what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from ddbench.reporting.tables.formatting import (
    format_interval,
    format_spread,
    join_words,
)
from ddbench.reporting.tables.statistics import CONFIDENCE

TOLERANCE = 5.0
"""Points of accuracy allowed to a row of one seed, whose spread nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Committed and new accuracies by seed, and the interval that the new mean has to lie in."""

    committed: Mapping[int, float]
    again: Mapping[int, float]
    low: float
    high: float
    rule: str

    @property
    def holds(self) -> bool:
        """True where the new mean lies in the interval."""
        return self.low <= fmean(self.again.values()) <= self.high

    def write_sentence(self, name: str) -> str:
        """Writes `WMDD, digits, IPC 1: committed 77.5 ± 5.5 (seeds 0, 1 and 2), again …`"""
        holds = "holds" if self.holds else "does not hold"
        place = "within" if self.holds else "outside"
        return (
            f"{name} {holds}: committed {_write_mean(self.committed)}, "
            f"again {_write_mean(self.again)}, "
            f"{place} {format_interval(self.low, self.high)}, {self.rule}"
        )


def judge(
    committed: Mapping[int, float], again: Mapping[int, float], tolerance: float = TOLERANCE
) -> Verdict:
    """Compares top-1 accuracies, in percent, of a row with those of new runs.

    With n committed seeds, n ≥ 2, of mean m and sample standard deviation s, the mean of k new
    seeds has to lie in the 95 % prediction interval m ± t(n−1) · s · √(1/n + 1/k): a row whose
    seeds are drawn alike leaves it once in twenty times. With one seed, or where all agree, it has
    to lie within `tolerance` points.

    Args:
        committed: Seed -> accuracy, at least one.
        again: The same of the new runs.
        tolerance: Points, for a row without spread.
    """
    mean, n, k = fmean(committed.values()), len(committed), len(again)
    sd = stdev(committed.values()) if n > 1 else 0.0
    if sd == 0:
        seeds = "one seed" if n == 1 else "equal seeds"
        rule = f"the tolerance of {tolerance:g} points for a row of {seeds}"
        return Verdict(
            committed=committed, again=again, low=mean - tolerance, high=mean + tolerance, rule=rule
        )
    from scipy.special import stdtrit

    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    reach = quantile * sd * math.sqrt(1 / n + 1 / k)
    rule = f"the {100 * CONFIDENCE:g} % prediction interval of its {n} seeds"
    return Verdict(committed=committed, again=again, low=mean - reach, high=mean + reach, rule=rule)


def _write_mean(values: Mapping[int, float]) -> str:
    sd = stdev(values.values()) if len(values) > 1 else None
    seeds = f"seed{'s' if len(values) > 1 else ''} {join_words(sorted(values))}"
    return f"{format_spread(fmean(values.values()), sd, '%')} % ({seeds})"
