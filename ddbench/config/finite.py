"""Whether the numbers of a value are finite: no option and no published figure is infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def is_finite(value: Any) -> bool:
    """False where it is, or holds at any depth, an infinite float or one that is no number."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(is_finite(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return all(is_finite(inner) for inner in value)
    return True
