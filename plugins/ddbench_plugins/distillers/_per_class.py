"""What distillers share that make the images of one class after the other, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Int

from ddbench.api.roles import Problem
from ddbench.api.types import DatasetInfo

if TYPE_CHECKING:
    from torch import Tensor


class ClassByClass:
    """Equally many images of each class, a group a class, one tick a group."""

    __slots__ = ()

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return (ipc or 1,) * info.num_classes

    def batches(self, labels: Int[Tensor, " n"]) -> list[Int[Tensor, " b"]]:
        """One group a class."""
        return [(labels == cls).nonzero().flatten() for cls in labels.unique()]

    def iterations_of(self, problem: Problem, indices: Int[Tensor, " b"]) -> int:
        return 1
