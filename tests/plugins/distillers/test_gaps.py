"""Gaps between embeddings, of means (DM) and of attention (DataDAM), in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.api.errors import IncompatibleError
from ddbench.api.features import feature_tap
from ddbench.api.types import Network
from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_images, tiny_info
from ddbench_plugins.distillers._gaps import Attention, AttentionGap, MeanGap
from tests.doubles.flat_networks import GAPS, NEEDS, seen
from tests.doubles.random_network_doubles import Double


def test_dm_is_the_mmd_of_a_linear_kernel():
    made = Double(needs=NEEDS)
    network = made.fresh_network(0)
    real, ours = made.real(0).double(), tiny_images(tiny_info(), torch.tensor([1, 2, 1])).double()
    x, y = seen(MeanGap(), made, network, real, ours)
    a, b = (s[feature_tap(network)]["features"] for s in (x, y))
    wanted = (a @ a.T).mean() + (b @ b.T).mean() - 2 * (a @ b.T).mean()
    torch.testing.assert_close(MeanGap().measure(network, x, y), wanted)


def test_a_shift_of_every_embedding_is_its_squared_length():
    made = Double(needs=NEEDS)
    network = made.fresh_network(0)
    (x,) = seen(MeanGap(), made, network, made.real(0).double())
    tap = feature_tap(network)
    shift = torch.randn(x[tap]["features"].shape[1], generator=make_generator(6)).double()
    moved = {tap: {"features": x[tap]["features"] + shift}}
    torch.testing.assert_close(MeanGap().measure(network, x, moved), shift.square().sum())


@pytest.mark.parametrize("gap", GAPS, ids=["mean", "attention"])
def test_equal_batches_have_no_gap_whatever_their_order(gap):
    made = Double(needs=NEEDS)
    network, real = made.fresh_network(0), made.real(1).double()
    x, y, z = seen(gap, made, network, real, real.flip(0), made.real(2).double())
    assert gap.measure(network, x, y).item() == pytest.approx(0, abs=1e-9)
    assert gap.measure(network, x, z).item() > 1e-3


def test_attention_is_of_norm_one_and_blind_to_scale_and_order_of_channels():
    maps = torch.randn(4, 6, 5, 5, generator=make_generator(0))
    for power in (1.0, 2.0, 4.0):
        found = Attention(power).reduce(maps)["attention"]
        torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
        other = Attention(power).reduce(3.7 * maps[:, torch.randperm(6)])["attention"]
        torch.testing.assert_close(found, other)
    assert not Attention(4.0).reduce(torch.zeros(1, 2, 3, 3))["attention"].any()


def test_attention_has_no_slope_along_the_scale_of_a_map():
    maps = torch.randn(4, 6, 5, 5, generator=make_generator(1), dtype=torch.float64)
    towards = torch.randn(4, 25, generator=make_generator(2), dtype=torch.float64)
    for power in (1.0, 2.0, 4.0):
        leaf = maps.clone().requires_grad_(True)
        found = (Attention(power).reduce(leaf)["attention"] * towards).sum()
        (slope,) = torch.autograd.grad(found, [leaf])
        along = (slope * maps).sum((1, 2, 3))
        torch.testing.assert_close(along, torch.zeros(4).double(), rtol=0, atol=1e-10)
        assert slope.norm() > 1e-2


def test_attention_with_power_two_is_the_energy_and_large_powers_the_peak():
    maps = torch.arange(18.0).view(1, 2, 3, 3)
    energy = maps.square().sum(1).flatten(1)
    torch.testing.assert_close(
        Attention(2.0).reduce(maps)["attention"], energy / energy.norm(dim=1)
    )
    peak = Attention(20.0).reduce(maps)["attention"]
    assert peak.argmax() == 8
    assert peak.max() > 0.9


def test_attention_of_the_last_block_is_left_to_the_embedding():
    made = Double(needs=NEEDS)
    network = made.fresh_network(0)
    assert [tap.layer for tap in AttentionGap().taps(network)] == ["blocks.2", "fc"]
    bare = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "1")
    with pytest.raises(IncompatibleError, match="all ReLU layers but the last"):
        AttentionGap().taps(bare)


def test_the_weights_of_attention_and_embedding_are_those_of_the_formula():
    made = Double(needs=NEEDS)
    network = made.fresh_network(0)
    x, y = seen(AttentionGap(), made, network, made.real(0).double(), made.real(1).double())
    mean = MeanGap().measure(network, x, y)
    maps = AttentionGap(embedding=0, scale=1).measure(network, x, y)
    torch.testing.assert_close(AttentionGap().measure(network, x, y), 100 * (maps + 0.01 * mean))
