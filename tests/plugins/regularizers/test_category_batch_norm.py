"""EDC's category-aware statistics against loops and identities, and a run on real digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.api.features import PooledFeatures
from ddbench.api.types import Reduction, Step, Tap, Tensors
from ddbench.testing import collect, tiny_info, tiny_network, tiny_real, tiny_step
from ddbench.testing.fakes import probe_images
from ddbench_plugins.regularizers._moments import ClassMoments
from ddbench_plugins.regularizers.category_batch_norm import CategoryBatchNorm, ImageMoments

INFO, LAYERS = tiny_info(), ("norm1", "norm2")


class Whole(PooledFeatures):
    """Keeps an activation as it is."""

    def reduce(self, activation: Tensor) -> Tensors:
        return {"all": activation.detach().clone()}


def inputs(images: Tensor) -> dict[str, Tensor]:
    """The whole inputs of both BatchNorms."""
    keep: Reduction = Whole()
    taps = [Tap(layer, keep) for layer in LAYERS]
    acts = probe_images(tiny_network(INFO), taps, images)
    return {tap.layer: acts.taps[tap]["all"].double() for tap in taps}


# -- of the real images ----------------------------------------------------------------------------


def test_moments_are_those_of_single_images_averaged() -> None:
    images, labels = tiny_real(INFO)
    known = collect(ImageMoments(), tiny_network(INFO), INFO)
    for layer, maps in inputs(images).items():
        for cls in range(3):
            own = [maps[i] for i in range(len(labels)) if labels[i] == cls]
            mean = torch.stack([one.mean((1, 2)) for one in own]).mean(0)
            var = torch.stack([one.flatten(1).var(1, correction=0) for one in own]).mean(0)
            torch.testing.assert_close(
                known[f"{layer}.mean"][cls].double(), mean, rtol=1e-4, atol=1e-6
            )
            torch.testing.assert_close(
                known[f"{layer}.var"][cls].double(), var, rtol=1e-4, atol=1e-6
            )
    assert known["count"].tolist() == [6, 6, 6]


def test_what_is_missing_from_the_variance_is_that_between_images() -> None:
    images, labels = tiny_real(INFO)
    network = tiny_network(INFO)
    within = collect(ImageMoments(), network, INFO)
    whole = collect(ClassMoments(), network, INFO)
    for layer, maps in inputs(images).items():
        assert torch.allclose(within[f"{layer}.mean"], whole[f"{layer}.mean"], atol=1e-6)
        for cls in range(3):
            between = maps[labels == cls].mean((2, 3)).var(0, correction=0).float()
            lacking = whole[f"{layer}.var"][cls] - within[f"{layer}.var"][cls]
            torch.testing.assert_close(lacking, between, rtol=1e-3, atol=1e-5)


# -- of the batch ----------------------------------------------------------------------------------


def one_image_each() -> tuple[Tensor, Tensors]:
    """An image a class, and what a real set of just these would be known by."""
    images = torch.stack([tiny_real(INFO)[0][i] for i in range(3)])
    known: Tensors = {"count": torch.ones(3, dtype=torch.long)}
    for layer, maps in inputs(images).items():
        known[f"{layer}.mean"] = maps.mean((2, 3)).float()
        known[f"{layer}.var"] = maps.flatten(2).var(2, correction=0).float()
    return images, known


def cost(part: CategoryBatchNorm, step: Step) -> float:
    return part.penalty(step).item()


@pytest.mark.parametrize("cls", [0, 2])
def test_copies_of_the_only_real_image_of_a_class_cost_nothing(cls: int) -> None:
    images, known = one_image_each()
    part = CategoryBatchNorm()
    copies = images[cls].expand(5, -1, -1, -1)
    own = tiny_step(part, images=copies, labels=[cls] * 5, known={ImageMoments(): known})
    other = tiny_step(part, images=copies, labels=[1] * 5, known={ImageMoments(): known})
    assert cost(part, own) < 1e-4
    assert cost(part, other) > 0.1


@pytest.mark.parametrize("norm", ["l2", "squared"])
@pytest.mark.parametrize("first", [1.0, 10.0])
def test_the_penalty_is_its_formula(norm: Any, first: float) -> None:
    part = CategoryBatchNorm(norm=norm, first_layer=first)
    step = tiny_step(part)
    known = step.known[ImageMoments()]
    wanted = 0.0
    for layer, maps in inputs(step.images.detach()).items():
        pooled = maps.transpose(0, 1).flatten(1)  # c, images and positions
        found = {"mean": pooled.mean(1), "var": pooled.var(1, correction=0)}
        for name, value in found.items():
            goal = sum(known[f"{layer}.{name}"][y].double() for y in step.labels) / len(step.labels)
            gap = float((value - goal).norm())
            wanted += (first if layer == "norm1" else 1) * (gap**2 if norm == "squared" else gap)
    assert cost(part, step) == pytest.approx(wanted, rel=1e-4)


def test_only_the_real_side_knows_the_classes() -> None:
    """Classes dealt to other images of the batch change nothing."""
    part = CategoryBatchNorm()
    images = tiny_real(INFO)[0][:7]
    one = tiny_step(part, images=images, labels=[2, 0, 1, 0, 2, 1, 2])
    two = tiny_step(part, images=images, labels=[0, 0, 1, 1, 2, 2, 2])
    more = tiny_step(part, images=images, labels=[0, 0, 0, 0, 0, 0, 2])
    assert cost(part, one) == pytest.approx(cost(part, two), rel=1e-5)
    assert cost(part, one) != pytest.approx(cost(part, more), rel=1e-3)
