"""Looks at losses now and then, and at the last: each look waits for the device."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from ddbench.api.errors import DivergedError

CHECK_EVERY = 25
"""Iterations between looks."""


class Losses:
    """The losses of one run of iterations.

    Args:
        diverged: The error for a loss that is not finite, by its value and iteration.
        every: Iterations between looks.
    """

    def __init__(
        self, diverged: Callable[[float, int], DivergedError], every: int = CHECK_EVERY
    ) -> None:
        self._diverged = diverged
        self._every = every
        self._count = 0
        self._latest: Float[Tensor, ""] | None = None
        self._at = 0
        """The iteration of the latest loss."""

    def tell(self, loss: Float[Tensor, ""] | None) -> float | None:
        """One more iteration. What the loss is, if it is looked at.

        Raises:
            DivergedError: it is not finite.
        """
        self._count += 1
        if loss is None:
            return None
        self._latest, self._at = loss, self._count
        return self._look() if self._count % self._every == 0 else None

    def last(self) -> float:
        """The loss of the last iteration, NaN where it had none.

        Raises:
            DivergedError: the latest loss is not finite.
        """
        value = math.nan if self._latest is None else self._look()
        return value if self._at == self._count else math.nan

    def _look(self) -> float:
        assert self._latest is not None
        value = float(self._latest)
        if not math.isfinite(value):
            raise self._diverged(value, self._at)
        return value
