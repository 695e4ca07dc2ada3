"""Statistics of convolutions: the penalty against its formula, identities, finite differences."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Network, Tap, Tensors
from ddbench.testing import tiny_info, tiny_network, tiny_real, tiny_step
from ddbench.testing.fakes import probe_images
from ddbench_plugins.regularizers._convolution_moments import ConvolutionMoments, PatchMoments
from ddbench_plugins.regularizers._moving_average import MovingAverage
from ddbench_plugins.regularizers.convolution import Convolution

INFO, LAYERS = tiny_info(), ("conv1", "conv2")


class Whole(PatchMoments):
    """Keeps an activation as it is."""

    def reduce(self, activation: Tensor) -> Tensors:
        return {"all": activation.detach().double()}


def inputs(images: Tensor) -> dict[str, Tensor]:
    """The whole inputs of both convolutions."""
    taps = [Tap(layer, Whole(1)) for layer in LAYERS]
    acts = probe_images(tiny_network(INFO), taps, images)
    return {tap.layer: acts.taps[tap]["all"] for tap in taps}


def patches(maps: Tensor, side: int) -> Tensor:
    """[b c h w] -> [l, values of all images, channels and positions of a patch], by loops."""
    _, _, height, width = maps.shape
    return torch.stack([
        maps[:, :, top : top + side, left : left + side].flatten()
        for top in range(0, height, side)
        for left in range(0, width, side)
    ])  # fmt: skip


def test_the_real_images_themselves_cost_nothing() -> None:
    images, labels = tiny_real(INFO)
    part = Convolution()
    own = tiny_step(part, images=images, labels=labels.tolist())
    noise = tiny_step(part, images=2 * torch.randn_like(images), labels=labels.tolist())
    assert part.penalty(own).item() < 1e-3
    assert part.penalty(noise).item() > 1


@pytest.mark.parametrize("norm", ["l2", "squared"])
@pytest.mark.parametrize("category", [0.0, 1.0])
def test_the_penalty_is_its_formula(norm: Any, category: float) -> None:
    part = Convolution(norm=norm, patch=4, category=category, first_layer=10.0)
    step = tiny_step(part)
    wanted = 0.0
    for layer, maps in inputs(step.images.detach()).items():
        for patch in (0, 4):
            known = step.known[ConvolutionMoments(patch, by_category=category > 0)]
            pooled = patches(maps, patch) if patch else maps.transpose(0, 1).flatten(1)
            found = {"mean": pooled.mean(1), "var": pooled.var(1, correction=0)}
            for name, value in found.items():
                rows = step.labels if category else [0] * len(step.labels)
                goal = torch.stack([known[f"{layer}.{name}"][row].double() for row in rows]).mean(0)
                gap = float((value - goal).norm())
                scale = 10 if layer == "conv1" else 1
                wanted += scale * (gap**2 if norm == "squared" else gap)
    assert part.penalty(step).item() == pytest.approx(wanted, rel=1e-4)


def test_a_share_of_categories_mixes_both() -> None:
    half = Convolution(category=0.3)
    step = tiny_step(half)
    both = [Convolution(category=share).penalty(step).item() for share in (0.0, 1.0)]
    assert half.penalty(step).item() == pytest.approx(0.7 * both[0] + 0.3 * both[1], rel=1e-5)
    assert both[0] != pytest.approx(both[1], rel=1e-2)


def test_the_average_is_of_channels_and_patches() -> None:
    part = Convolution(average=MovingAverage(0.5))
    step = tiny_step(part)
    memory = part.remember(step)
    assert set(memory) == {"0.mean", "0.var", "4.mean", "4.var"}
    assert memory["4.mean"].shape[1] == 2 * 4  # two layers, four patches each
    moved = replace(step, memory={name: value + 1 for name, value in memory.items()})
    assert part.penalty(moved).item() != pytest.approx(part.penalty(step).item(), rel=1e-3)
    torch.testing.assert_close(
        part.remember(moved)["0.mean"], memory["0.mean"] + 0.5, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("part", [Convolution(), Convolution(category=0.5, norm="squared")])
def test_the_gradient_agrees_with_finite_differences(part: Convolution) -> None:
    step = tiny_step(part, labels=(0, 1, 2))
    network = Network(copy.deepcopy(step.network.module).double(), "fc")
    taps, start = part.taps(network), 0.3 + step.images.detach().double()
    known = {s: {n: v.double() for n, v in found.items()} for s, found in step.known.items()}

    def penalty(images: Tensor) -> Tensor:
        acts = probe_images(network, taps, images)
        return part.penalty(replace(step, images=images, acts=acts, network=network, known=known))

    x = start.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(penalty(x), [x])
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        way = torch.randn(start.shape, generator=rng, dtype=torch.float64)
        ahead, behind = penalty(start + 1e-5 * way), penalty(start - 1e-5 * way)
        expected = float(ahead - behind) / 2e-5
        assert float((slope * way).sum()) == pytest.approx(expected, rel=1e-5)


def test_options_out_of_range_are_refused() -> None:
    for options in ({"patch": -1}, {"category": 1.1}, {"drop": 1.0}):
        with pytest.raises(DDBenchError, match=next(iter(options))):
            Convolution(**options)
