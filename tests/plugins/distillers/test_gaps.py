"""Gaps between embeddings, of means (DM) and of attention (DataDAM), in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from torch import Tensor, nn

from ddbench.api.errors import IncompatibleError
from ddbench.api.features import feature_tap
from ddbench.api.types import Network
from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_images, tiny_info
from ddbench_plugins.distillers._gaps import Attention, AttentionGap, KernelGap, MeanGap
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


NETWORK = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double(), "1")


def points(count: int, *seed: object) -> Tensor:
    return torch.randn(count, 7, generator=make_generator(0, "points", *seed), dtype=torch.float64)


def gap(real: Tensor, made: Tensor) -> Tensor:
    tap = feature_tap(NETWORK)
    return KernelGap().measure(NETWORK, {tap: {"features": real}}, {tap: {"features": made}})


@pytest.mark.parametrize("distance", [1e-3, 1.0, 250.0])
def test_one_point_a_side_gives_one_constant_whatever_their_distance(distance):
    """Two points are as far from each other as the bandwidth says: k depends on nothing."""
    constant = 10 - 2 * sum(math.exp(-(2.0**-i)) for i in range(-2, 3))
    assert constant == pytest.approx(6.18627638783)
    apart = torch.zeros(1, 7, dtype=torch.float64)
    apart[0, 2] = distance
    assert gap(torch.zeros_like(apart), apart).item() == pytest.approx(constant, rel=1e-12)


def test_the_polynomial_kernel_is_scikit_learns():
    real, made = points(6, "real"), points(3, "made") + 0.5
    tap = feature_tap(NETWORK)
    part = KernelGap(kernel="polynomial")
    found = part.measure(NETWORK, {tap: {"features": real}}, {tap: {"features": made}})

    def mean(u, v):
        return polynomial_kernel(u, v, degree=2, gamma=1, coef0=1).mean()

    expected = mean(made, made) - 2 * mean(made, real) + mean(real, real)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_the_value_is_that_of_scikit_learns_kernels():
    real, made = points(6, "real"), points(3, "made") + 0.5
    both = torch.cat([made, real])
    n = len(both)
    h = float(torch.cdist(both, both).square().sum()) / (n * n - n)
    total = 0.0
    for power in range(-2, 3):
        kernel = {
            "xx": rbf_kernel(real, gamma=1 / (h * 2.0**power)).mean(),
            "xs": rbf_kernel(real, made, gamma=1 / (h * 2.0**power)).mean(),
            "ss": rbf_kernel(made, gamma=1 / (h * 2.0**power)).mean(),
        }
        total += kernel["ss"] - 2 * kernel["xs"] + kernel["xx"]
    assert gap(real, made).item() == pytest.approx(total, rel=1e-9)


def test_equal_points_have_no_gap_and_others_one_that_is_the_same_both_ways():
    real, made = points(5, "real"), points(5, "made")
    assert gap(real, real.flip(0)).item() == pytest.approx(0, abs=1e-9)
    assert gap(real, made).item() > 1e-2
    torch.testing.assert_close(gap(real, made), gap(made, real))


def test_neither_scale_nor_rotation_nor_shift_of_both_matters():
    real, made = points(6, "real"), points(4, "made") + 1
    turn, _ = torch.linalg.qr(points(7, "turn"))
    wanted = gap(real, made)
    torch.testing.assert_close(gap(30 * real, 30 * made), wanted)
    torch.testing.assert_close(gap(real @ turn + 3, made @ turn + 3), wanted)


def test_what_the_mean_does_not_see_the_kernels_do():
    real = points(6, "real")
    wide = real.mean(0) + 3 * (real - real.mean(0))
    tap = feature_tap(NETWORK)
    sides = ({tap: {"features": real}}, {tap: {"features": wide}})
    assert MeanGap().measure(NETWORK, *sides).item() == pytest.approx(0, abs=1e-12)
    assert gap(real, wide).item() > 1e-2


def test_the_slope_is_that_of_the_kernels_at_a_fixed_bandwidth():
    """h is detached: the slope is that of the formula in which h stands as a number."""
    real, made = points(5, "real"), points(3, "made").requires_grad_(True)
    both = torch.cat([made.detach(), real])
    h = torch.cdist(both, both).square().sum() / 56

    def fixed(points_: Tensor) -> Tensor:
        def mean(x: Tensor, y: Tensor) -> Tensor:
            squares = (x[:, None] - y[None]).square().sum(2)
            return sum((-squares / (h * 2.0**i)).exp() for i in range(-2, 3)).mean()

        return mean(points_, points_) - 2 * mean(points_, real) + mean(real, real)

    (slope,) = torch.autograd.grad(gap(real, made), [made])
    torch.testing.assert_close(slope, torch.func.grad(fixed)(made.detach()))
