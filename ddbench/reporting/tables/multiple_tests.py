"""Corrections of p for the number of tests."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): the error rate of the family is kept.

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
