"""What a distiller returned is checked and kept."""

from __future__ import annotations

import pytest
import torch

from ddbench.data.real import RealData
from ddbench.pipeline.stages.problem import RecoverProblem
from ddbench.pipeline.stages.recovered import quantise
from ddbench.testing import tiny_info

INFO = tiny_info()


@pytest.fixture
def problem() -> RecoverProblem:
    images = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    data = RealData(INFO, images, torch.tensor([0, 0, 1, 1, 2, 2]), images[:3], torch.arange(3))
    return RecoverProblem(
        info=INFO, labels=torch.tensor([0, 1, 2]), weights=torch.ones(3), device="cpu", seed=0,
        data=data,
    )  # fmt: skip


def test_stored_bytes_are_rounded_and_come_back_as_they_were(problem: RecoverProblem) -> None:
    levels = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
    normalised = problem.normalise(levels / 255)
    assert torch.equal(quantise(normalised, problem), levels)
    nudged = problem.normalise((levels + 0.4) / 255)
    assert torch.equal(quantise(nudged, problem), levels)
    assert torch.equal(quantise(problem.normalise((levels + 0.6) / 255), problem), levels + 1)
    low, high = problem.pixel_range()
    assert (quantise(low.expand(1, 3, 8, 8) - 5, problem) == 0).all()
    assert (quantise(high.expand(1, 3, 8, 8) + 5, problem) == 255).all()
