"""Moments of convolutions and patches against brute force."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.api.types import Tap, Tensors
from ddbench.testing import collect, tiny_info, tiny_network, tiny_real
from ddbench.testing.fakes import probe_images
from ddbench_plugins.regularizers._convolution_moments import ConvolutionMoments, PatchMoments

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


@pytest.mark.parametrize("side", [2, 4])
def test_patch_moments_are_those_of_each_patch(side: int) -> None:
    maps = torch.randn(3, 5, 8, 8, dtype=torch.float64)
    found = PatchMoments(side).reduce(maps)
    for image in range(3):
        own = patches(maps[image : image + 1], side)
        torch.testing.assert_close(found["mean"][image], own.mean(1))
        torch.testing.assert_close(found["square"][image], own.square().mean(1))


def test_a_patch_as_large_as_the_map_is_the_global_mean() -> None:
    maps = torch.randn(3, 5, 8, 8, dtype=torch.float64)
    found = PatchMoments(8).reduce(maps)
    assert found["mean"].shape == (3, 1)
    torch.testing.assert_close(found["mean"].mean(), maps.mean())
    torch.testing.assert_close(
        found["square"].mean() - found["mean"].mean() ** 2, maps.var(correction=0)
    )


@pytest.mark.parametrize(("shape", "size"), [((6, 6), (8, 8)), ((1, 1), (4, 4)), ((4, 7), (4, 8))])
def test_maps_that_patches_do_not_divide_are_resized_up(shape: Any, size: Any) -> None:
    maps = torch.randn(2, 3, *shape, dtype=torch.float64)
    larger = F.interpolate(maps, size, mode="bilinear")
    assert torch.equal(PatchMoments(4).reduce(maps)["mean"], PatchMoments(4).reduce(larger)["mean"])


@pytest.mark.parametrize("patch", [0, 4])
def test_moments_of_all_images_are_exact(patch: int) -> None:
    """Not an average of the variances of batches, which would lack those between them."""
    images, _ = tiny_real(INFO)
    known = collect(ConvolutionMoments(patch), tiny_network(INFO), INFO, batch=5)
    for layer, maps in inputs(images).items():
        whole = patches(maps, patch) if patch else maps.transpose(0, 1).flatten(1)
        torch.testing.assert_close(
            known[f"{layer}.mean"][0], whole.mean(1).float(), rtol=1e-4, atol=1e-6
        )
        torch.testing.assert_close(
            known[f"{layer}.var"][0], whole.var(1, correction=0).float(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("patch", [0, 4])
def test_moments_by_category_are_those_of_single_images_averaged(patch: int) -> None:
    images, labels = tiny_real(INFO)
    known = collect(ConvolutionMoments(patch, by_category=True), tiny_network(INFO), INFO)
    for layer, maps in inputs(images).items():
        for cls in range(3):
            own = [maps[i : i + 1] for i in range(len(labels)) if labels[i] == cls]
            each = [patches(m, patch) if patch else m[0].flatten(1) for m in own]
            mean = torch.stack([values.mean(1) for values in each]).mean(0).float()
            var = torch.stack([values.var(1, correction=0) for values in each]).mean(0).float()
            torch.testing.assert_close(known[f"{layer}.mean"][cls], mean, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(known[f"{layer}.var"][cls], var, rtol=1e-4, atol=1e-5)
