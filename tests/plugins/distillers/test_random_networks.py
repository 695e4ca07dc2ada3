"""Matching through random networks: the slope, and what the loop depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Network
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._gaps import AttentionGap
from ddbench_plugins.distillers._synthetic import group_rows, start_images
from ddbench_plugins.distillers.random_networks import RandomNetworks
from tests.doubles.flat_networks import GAPS, NEEDS, Flat, FlatSingle
from tests.doubles.random_network_doubles import Double, Watched, check_slope

FAST = RandomNetworks(iterations=3, batch_real=4)


def test_dm_of_the_images_themselves_is_a_mean_and_so_is_its_slope():
    made = Flat(needs=NEEDS, labels=torch.arange(3))
    images = tiny_images(tiny_info(), torch.arange(3)).double()
    part = replace(FAST, augment="", batch_real=6)
    loss, slope = part.compute_slope(
        made, made.fresh_network(0), images, group_rows(made, torch.arange(3)), 0
    )
    means = torch.stack([made.real(cls).double().mean(0) for cls in range(3)])
    torch.testing.assert_close(loss, (means - images).square().sum())
    torch.testing.assert_close(slope, -2 * (means - images))


@pytest.mark.parametrize("gap", GAPS, ids=["mean", "attention"])
def test_the_slope_is_that_of_finite_differences(gap):
    made, part = Double(needs=NEEDS), replace(FAST, gap=gap, augment="color_rotate")
    images = tiny_images(tiny_info(), made.labels).double()
    check_slope(part, made, images, group_rows(made, torch.arange(6)))


def test_chunks_bear_on_memory_alone():
    made, classes = Double(needs=NEEDS), group_rows(TinyProblem(), torch.arange(6))
    images, network = tiny_images(tiny_info(), made.labels).double(), made.fresh_network(0)
    one, all_ = (
        replace(FAST, chunk_size=size).compute_slope(made, network, images, classes, 0)
        for size in (1, 1000)
    )
    torch.testing.assert_close(one, all_)


def test_batch_normalisation_sees_all_classes_at_once():
    part = replace(FAST, chunk_size=1)
    plain = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "1")
    mixed = Network(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 3)), "2")
    classes = dict.fromkeys(range(3), torch.arange(2))
    assert list(part._group_classes(plain, classes)) == [[0], [1], [2]]
    assert list(part._group_classes(mixed, classes)) == [[0, 1, 2]]


class Fixed(Watched):
    """The same network again and again, so that a loss can be compared with another."""

    def fresh_network(self, *names):
        return super().fresh_network("always")


@pytest.mark.parametrize(("gap", "lr"), list(zip(GAPS, (10.0, 1.0), strict=True)))
def test_matching_closes_the_gap(gap, lr):
    losses: list[Tensor] = []
    made = Fixed(needs=NEEDS, losses=losses)
    part = replace(FAST, iterations=30, batch_real=6, lr=lr, init="noise", gap=gap, augment="")
    part.recover(made, torch.arange(6))
    assert len(losses) == 30
    assert losses[-1] < 0.5 * losses[0]


def test_in_the_eyes_of_a_linear_embedding_the_class_means_become_equal():
    made = FlatSingle(needs=NEEDS)
    part = replace(FAST, iterations=60, batch_real=6, lr=0.5, init="noise", augment="")
    images = part.recover(made, torch.arange(6))
    for cls in range(3):
        torch.testing.assert_close(
            images[2 * cls : 2 * cls + 2].mean(0), made.real(cls).mean(0), rtol=1e-3, atol=1e-3
        )


def test_a_start_from_real_images_takes_different_ones_of_the_class():
    made = TinyProblem(needs=NEEDS, labels=torch.arange(3).repeat_interleave(4))
    start = start_images(made, group_rows(made, torch.arange(12)), "real")
    for cls in range(3):
        real = made.real(cls).flatten(1)
        found = torch.cdist(start[4 * cls : 4 * cls + 4].flatten(1), real).min(1)
        assert found.values.max() < 1e-5
        assert len(set(found.indices.tolist())) == 4


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="iterations is 0"):
        RandomNetworks(iterations=0)
    with pytest.raises(DDBenchError, match="power is 0"):
        AttentionGap(power=0.0)
