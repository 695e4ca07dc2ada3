"""Groups of a stage that goes on where it was killed: their losses, and whether they are good."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

from jaxtyping import Float
from torch import Tensor

from ddbench.api.errors import DivergedError
from ddbench.runtime.cost import Meter
from ddbench.runtime.memory import is_out_of_memory
from ddbench.runtime.progress import Advance
from ddbench.store.cache import PartialGroups

CHECK_EVERY = 25
"""Iterations between looks."""


class Losses:
    """The losses of one run of iterations: called once per iteration, it also counts and times it.

    Args:
        diverged: Makes the error for a loss that is not finite, of its value and iteration.
        advance: Moves the progress bar.
        meter: Counts iterations, where their cost is measured.
        every: Iterations between looks.
    """

    def __init__(
        self,
        diverged: Callable[[float, int], DivergedError],
        advance: Advance,
        meter: Meter | None = None,
        every: int = CHECK_EVERY,
    ) -> None:
        self._diverged, self._advance, self._meter = diverged, advance, meter
        self._every = every
        self._count = 0
        self._latest: Float[Tensor, ""] | None = None
        self._at = 0
        """The iteration of the latest loss."""
        if meter is not None:
            meter.group()

    def __call__(self, loss: Float[Tensor, ""] | None) -> None:
        """Takes in one more iteration.

        Raises:
            DivergedError: its loss is looked at and not finite.
        """
        if self._meter is not None:
            self._meter.tick()
        self._count += 1
        note = ""
        if loss is not None:
            self._latest, self._at = loss, self._count
            if self._count % self._every == 0:
                note = f"loss {self._look():.4g}"
        self._advance(1, note=note)

    def last(self) -> float:
        """Returns the loss of the last iteration, NaN where it had none.

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


@contextlib.contextmanager
def clear_on_fault(partial: PartialGroups) -> Iterator[None]:
    """Throws finished groups away where a part itself failed: mended, it may make others.

    Its key stays the same, so that a set would be of two codes. They are kept after a kill, and
    where the machine is to blame: memory, disk, device.
    """
    try:
        yield
    except Exception as fault:
        if not _of_the_machine(fault):
            partial.clear()
        raise


def _of_the_machine(fault: Exception) -> bool:
    """A full disk comes as a DDBenchError that has the disk's own error as its cause."""
    if isinstance(fault, OSError) or isinstance(fault.__cause__, OSError):
        return True
    if "SafetensorError" in (type(fault).__name__, type(fault.__cause__).__name__):
        return True
    return is_out_of_memory(fault) or "CUDA error" in str(fault)
