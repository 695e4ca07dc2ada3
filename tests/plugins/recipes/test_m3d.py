"""M3D: kernels through tiles and networks that serve several iterations, and its settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.features import feature_tap
from ddbench.api.types import Network
from ddbench.runtime.seeds import make_generator
from ddbench.store.keys import spell_text
from ddbench.testing import TinyProblem, check_part, tiny_images, tiny_info
from ddbench_plugins.distillers._gaps import KernelGap, MeanGap
from ddbench_plugins.distillers._pools import FreshNetworks
from ddbench_plugins.distillers._synthetic import group_rows
from ddbench_plugins.distillers._tiles import expand_tiles
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.recipes.m3d import m3d
from tests.doubles.random_network_doubles import Double, check_slope

NEEDS = frozenset({"networks"})


PART = RandomNetworks(
    iterations=3, batch_real=4, gap=KernelGap(), factor=2, pool=FreshNetworks(every=2), lr=5.0
)


NETWORK = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double(), "1")


def points(count: int, *seed: object) -> Tensor:
    return torch.randn(count, 7, generator=make_generator(0, "points", *seed), dtype=torch.float64)


def gap(real: Tensor, made: Tensor) -> Tensor:
    tap = feature_tap(NETWORK)
    return KernelGap().measure(NETWORK, {tap: {"features": real}}, {tap: {"features": made}})


def test_the_slope_through_tiles_and_network_is_that_of_finite_differences():
    part = replace(PART, gap=MeanGap(), augment="color_rotate")
    made = Double(needs=NEEDS, labels=torch.arange(3).repeat_interleave(4))
    classes = {cls: torch.tensor([cls]) for cls in range(3)}
    images = tiny_images(tiny_info(), torch.arange(3)).double()
    check_slope(part, made, images, classes)


def test_what_is_shown_are_the_tiles_of_one_image_a_class():
    labels = torch.arange(3).repeat_interleave(4)
    made = TinyProblem(needs=NEEDS, labels=labels)
    assert PART.counts(made.info, 1) == (4, 4, 4)
    start, own = PART.start_images(made, group_rows(made, torch.arange(12)))
    assert start.shape == (3, 3, 8, 8)
    assert {cls: rows.tolist() for cls, rows in own.items()} == {0: [0], 1: [1], 2: [2]}
    still = replace(PART, lr=0.0).recover(made, torch.arange(12))
    torch.testing.assert_close(
        still, torch.cat([expand_tiles(start[c : c + 1], 2) for c in range(3)])
    )
    assert not torch.equal(PART.recover(made, torch.arange(12)), still)


def test_images_that_are_clamped_stay_within_the_range_of_pixels():
    made = TinyProblem(needs=NEEDS, labels=torch.arange(3).repeat_interleave(4))
    low, high = made.pixel_range()
    rows = torch.arange(12)
    wild = replace(PART, lr=1e4, gap=MeanGap())
    free, kept = wild.recover(made, rows), replace(wild, clamp=True).recover(made, rows)
    assert (free > high + 1e-5).any()
    assert (kept <= high + 1e-5).all()
    assert (kept >= low - 1e-5).all()


def test_a_network_serves_as_many_iterations_as_it_is_told():
    asked: list[tuple] = []

    class Counted(TinyProblem):
        def fresh_network(self, *names):
            asked.append(names)
            return super().fresh_network(*names)

    replace(PART, iterations=5, factor=1).recover(Counted(needs=NEEDS), torch.arange(6))
    assert asked == [(0,), (1,), (2,)]


def test_a_network_that_serves_again_carries_nothing_of_before():
    served: list[Network] = []

    class Kept(TinyProblem):
        def fresh_network(self, *names):
            served.append(super().fresh_network(*names))
            return served[-1]

    replace(PART, factor=1).recover(Kept(needs=NEEDS), torch.arange(6))
    modules = [module for network in served for module in network.module.modules()]
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in modules)


def test_new_options_are_in_no_key_while_they_have_their_defaults():
    assert "pool" not in spell_text(RandomNetworks())
    assert "factor" not in spell_text(RandomNetworks())
    assert spell_text(RandomNetworks(pool=FreshNetworks(every=2))) != spell_text(RandomNetworks())


def test_settings_are_those_of_the_forks():
    part = m3d(replace(tiny_info(pixels=32), name="cifar10"), 10).distiller
    assert (part.iterations, part.batch_real, part.momentum) == (10000, 64, 0.5)
    assert (part.pool, part.factor, part.clamp) == (FreshNetworks(every=5), 2, True)
    assert (part.augment, part.gap, part.init) == ("color_crop_cutout", KernelGap(), "real")


def test_the_recipe_keeps_the_rate_of_plain_pixels():
    """A step of normalised pixels is lr · dL/dx̃; of plain ones, x = σ x̃ + μ, it is σ² of that."""
    info = replace(tiny_info(pixels=32), name="cifar10", std=(0.2, 0.2, 0.2))
    assert m3d(info, 10).distiller.lr * 0.2**2 == pytest.approx(10, rel=1e-4)
    assert check_part("distiller", "m3d", m3d(tiny_info(), 1).distiller) == []
