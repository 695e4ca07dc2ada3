"""A problem whose objective is any function of the images, for tests of loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ddbench.api.types import DatasetInfo
from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem
from ddbench.training.batches import normalise

INFO = DatasetInfo(
    name="three",
    classes=("a", "b", "c"),
    shape=(2, 6, 6),
    mean=(0.5, 0.4),
    std=(0.2, 0.25),
    train_counts=(9, 9, 9),
    test_counts=(1, 1, 1),
    fingerprint="f",
)


class Toy(TinyProblem):
    """A problem whose loss is a function of images and their indices."""

    def __init__(
        self, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor], info: DatasetInfo = INFO
    ) -> None:
        super().__init__(info=info, labels=labels, needs=frozenset())
        self.loss, self.seed = loss, 0
        self.losses: list[float] = []
        self.progress: list[float] = []
        self.views: list[Tensor] = []

    def rng(self, *names: object) -> torch.Generator:
        return make_generator(self.seed, *names)

    def real_indices(self, cls: int) -> Tensor:
        return torch.arange(27)[torch.arange(27) % 3 == cls]

    def real(self, cls: int) -> Tensor:
        levels = self.real_indices(cls).float().view(-1, 1, 1, 1) / 27
        return self.normalise(levels.expand(-1, *self.info.shape))

    def normalise(self, images: Tensor) -> Tensor:
        return normalise(images, self.info)

    def objective(
        self, images: Tensor, indices: Tensor, progress: float, teacher: int | None = None
    ) -> Tensor:
        self.views.append(images.detach().clone())
        self.progress.append(progress)
        return self.loss(images, indices)

    def tick(self, loss: Tensor | None = None) -> None:
        self.losses.append(math.nan if loss is None else float(loss))


def total(images: Tensor, indices: Tensor) -> Tensor:
    return images.sum()


def classes(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
