"""What the tests of methods through fresh networks share: problems that tell, and a slope check."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem


class Double(TinyProblem):
    """In double precision."""

    def real_batch(self, cls, count, rng):
        return super().real_batch(cls, count, rng).double()

    def fresh_network(self, *names):
        network = super().fresh_network(*names)
        network.module.double()
        return network


@dataclass(kw_only=True)
class Watched(TinyProblem):
    """Keeps the losses that it is told."""

    losses: list[Tensor]

    def tick(self, loss=None):
        self.losses.append(loss)


def check_slope(part, made, images, classes):
    """`part.compute_slope` along a random direction, against central differences."""
    network = made.fresh_network(0)
    towards = torch.randn(images.shape, generator=make_generator(3), dtype=torch.float64)
    _, slope = part.compute_slope(made, network, images, classes, 0)

    def loss(step: float) -> float:
        return float(part.compute_slope(made, network, images + step * towards, classes, 0)[0])

    found = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float((slope * towards).sum()) == pytest.approx(found, rel=1e-4)
