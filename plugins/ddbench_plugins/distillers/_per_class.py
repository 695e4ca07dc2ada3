"""What distillers share that make the images of one class after the other, in one go."""

from __future__ import annotations

import torch
from jaxtyping import Int

from ddbench.api.distiller import DistillProblem
from ddbench.api.types import DatasetInfo


class ClassByClass:
    """Equally many images of each class, a group a class, one tick a group."""

    __slots__ = ()

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return (ipc or 1,) * info.num_classes

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """One group a class."""
        return [(labels == cls).nonzero().flatten() for cls in labels.unique()]

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return 1
