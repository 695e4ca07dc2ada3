"""DM and DataDAM: gaps in closed form, their slopes, and what the loop depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.features import feature_tap
from ddbench.api.types import Network
from ddbench.runtime.seeds import make_generator
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._gaps import Attention, AttentionGap, Gap, MeanGap
from ddbench_plugins.distillers._synthetic import group_rows, start_images
from ddbench_plugins.distillers.random_networks import RandomNetworks, _look
from ddbench_plugins.recipes.distribution import datadam, dm
from tests.doubles.random_network_doubles import Double, Watched, check_slope

NEEDS = frozenset({"networks"})
FAST = RandomNetworks(iterations=3, batch_real=4)
GAPS = [MeanGap(), AttentionGap()]


class Flat(Double):
    """The embedding of an image is the image."""

    def fresh_network(self, *names):
        module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
        return Network(module, "1")


def seen(gap: Gap, made: Double, network: Network, *batches: Tensor):
    return [acts.taps for acts in _look(made.probe(network, gap.taps(network)), batches)]


class FlatSingle(TinyProblem):
    """The same in single precision."""

    def fresh_network(self, *names):
        return Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "1")


# -- gaps ------------------------------------------------------------------------------------------


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


# -- the loop --------------------------------------------------------------------------------------


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


def test_recipes_take_the_papers_settings():
    info = replace(tiny_info(pixels=32), name="cifar10")
    assert dm(info, 10).distiller == RandomNetworks()
    assert dm(info, 100).distiller.lr == 10
    high = replace(tiny_info(pixels=128), name="imagenette@128")
    part = datadam(high, 10).distiller
    assert (part.iterations, part.gap) == (8000, AttentionGap(power=4, embedding=0.02))
    assert (part.batch_real, part.lr, part.momentum, part.init) == (64, 1, 0.5, "real")
    assert datadam(info, 50).distiller.gap == AttentionGap(power=4, embedding=0.01)
    assert [datadam(info, ipc).distiller.lr for ipc in (50, 51)] == [1, 10]
    assert dm(replace(info, name="cifar100"), 100).distiller.lr == 1
