"""Data densification against known values, finite differences, and what it does to a spectrum."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddbench.api.types import Step
from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_info, tiny_step
from ddbench_plugins.regularizers.densification import Densification, spectrum_gap

INFO = tiny_info()


def seen(images: Tensor, labels: tuple[int, ...]) -> Step:
    """A step with these very images, in float64, which no network sees."""
    step = tiny_step(Densification(), images=images.float(), labels=labels)
    return replace(step, images=images.clone().requires_grad_(True))


def cost_of(part: Densification, step: Step) -> float:
    return part.penalty(step).item()


def test_densification_has_the_value_of_the_notes() -> None:
    """methods.md 2.12: eigenvalues (3, 1, 0.5) at τ = 4."""
    values = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    assert float(spectrum_gap(values, 4.0)) == pytest.approx(0.32846043, abs=1e-8)
    images = torch.zeros(4, 3, 8, 8, dtype=torch.float64)
    for row, value in enumerate(values):
        images[row, 0, 0, row] = (value / 16) ** 0.5  # pooling to 32 pixels repeats each 16 times
    images[3, 1, 1, 1] = 5.0  # alone in its class
    step = seen(images, (0, 0, 0, 1))
    assert cost_of(Densification(), step) == pytest.approx(0.32846043, abs=1e-8)


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [0.0, 0.0], [1.3]])
def test_an_even_spectrum_costs_nothing(values: list[float]) -> None:
    assert float(spectrum_gap(torch.tensor(values), 4.0)) == pytest.approx(0, abs=1e-7)


def test_a_temperature_of_one_costs_nothing() -> None:
    step = tiny_step(Densification(), labels=(0, 0, 0, 1, 1))
    assert cost_of(Densification(temperature=1.0), step) == pytest.approx(0, abs=1e-5)
    assert cost_of(Densification(side=4), replace(step, images=0.1 * step.images)) > 1e-4


def test_images_alone_in_their_class_cost_nothing() -> None:
    step = tiny_step(Densification(), labels=(0, 1, 2))
    assert cost_of(Densification(), step) == 0


def test_the_gradient_of_densification_agrees_with_finite_differences() -> None:
    """With the wanted spectrum held, as sg does."""
    part = Densification(side=8)
    start = 0.1 * torch.randn(4, 3, 8, 8, generator=make_generator(0), dtype=torch.float64)
    step = seen(start, (0, 0, 0, 0))
    (slope,) = torch.autograd.grad(part.penalty(step), [step.images])
    gram = start.flatten(1) @ start.flatten(1).T
    wanted = (torch.linalg.eigvalsh(gram) / 4).softmax(0)

    def cost(images: Tensor) -> float:
        flat = images.flatten(1)
        values = torch.linalg.eigvalsh(flat @ flat.T)
        return float((wanted * (wanted.log() - values.log_softmax(0))).sum())

    for seed in range(3):
        way = torch.randn(start.shape, generator=make_generator(1, seed), dtype=torch.float64)
        expected = (cost(start + 1e-5 * way) - cost(start - 1e-5 * way)) / 2e-5
        assert float((slope * way).sum()) == pytest.approx(expected, rel=1e-5)


def test_densification_evens_out_the_spectrum() -> None:
    part = Densification(side=8)
    images = 0.05 * torch.randn(4, 3, 8, 8, generator=make_generator(2)) + 0.1
    before = cost_of(part, tiny_step(part, images=images, labels=(0,) * 4))
    for _ in range(30):
        step = tiny_step(part, images=images, labels=(0,) * 4)
        (slope,) = torch.autograd.grad(part.penalty(step), [step.images])
        images = images - 0.05 * slope
    assert cost_of(part, tiny_step(part, images=images, labels=(0,) * 4)) < before / 2
