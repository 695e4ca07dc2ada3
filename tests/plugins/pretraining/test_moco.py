"""Momentum contrast (MoCo): its loss in closed form, slow keys, and pretraining without labels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.pipeline.stages.pretraining import UnlabelledProblem, pretrain
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.pretraining.moco import MomentumContrast, follow, info_nce, make_projection

PART = ConvNetD(2, 8, "batch")


FAST = MomentumContrast(epochs=2, batch_size=6, queue=8, width=4)


CTX = Context()


def rows(count: int, seed: int, width: int = 5) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=rng, dtype=torch.float64))


def test_without_other_keys_there_is_nothing_to_tell_apart() -> None:
    assert float(info_nce(rows(4, 0), rows(4, 1), rows(0, 2), 0.2)) == pytest.approx(0)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_of_orthogonal_keys_is_known(temperature: float) -> None:
    axes = torch.eye(5, dtype=torch.float64)
    found = info_nce(axes[:1], axes[:1], axes[1:4], temperature)
    wanted = torch.tensor(1 + 3 * 2.718281828459045 ** (-1 / temperature)).log()
    assert float(found) == pytest.approx(float(wanted), rel=1e-6)


def test_the_loss_is_its_formula_and_each_image_counts_alike() -> None:
    query, key, queue = rows(3, 0), rows(3, 1), rows(7, 2)
    total = 0.0
    for q, k in zip(query, key, strict=True):
        own = torch.exp(q @ k / 0.2)
        total -= float(torch.log(own / (own + torch.exp(queue @ q / 0.2).sum()))) / 3
    assert float(info_nce(query, key, queue, 0.2)) == pytest.approx(total, rel=1e-9)


def test_the_gradient_of_the_loss_agrees_with_finite_differences() -> None:
    query = rows(3, 0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda q: info_nce(q, rows(3, 1), rows(6, 2), 0.2), [query])


@pytest.mark.parametrize(("momentum", "wanted"), [(0.0, 4.0), (1.0, 2.0), (0.75, 2.5)])
def test_keys_follow_slowly(momentum: float, wanted: float) -> None:
    follower, leader = torch.full((2,), 2.0), torch.full((2,), 4.0, requires_grad=True)
    follow([follower], [leader], momentum)
    assert follower.tolist() == [wanted] * 2
    assert leader.tolist() == [4.0, 4.0]


@pytest.fixture
def data(info: DatasetInfo) -> RealData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (18, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(3).repeat_interleave(torch.tensor(info.train_counts))
    return RealData(info, images, labels, images[:6], torch.arange(6) % 3)


def network(info: DatasetInfo) -> Network:
    return Network(build_network(PART, info, 0, CTX), "classifier")


def pretrained(data: RealData, part: MomentumContrast = FAST, seed: int = 0) -> Network:
    made = network(data.info)
    torch.manual_seed(torch.seed())  # a global stream must not matter
    pretrain(part, made, data, seed, CTX)
    return made


def test_pretraining_needs_no_labels_and_is_a_function_of_the_seed(data: RealData) -> None:
    one = pretrained(data).module.state_dict()
    others = replace(data, train_labels=data.train_labels.flip(0))
    two, three = pretrained(others).module.state_dict(), pretrained(data, seed=1).module
    assert all(torch.equal(one[name], two[name]) for name in one)
    start = network(data.info).module.state_dict()
    moved = "features.0.weight"
    assert not torch.equal(one[moved], three.state_dict()[moved])
    assert not torch.equal(one[moved], start[moved])
    assert torch.equal(one["classifier.weight"], start["classifier.weight"])
    assert not pretrained(data).module.classifier._forward_pre_hooks  # hooks are out again


def test_pretraining_ticks_as_often_as_it_says(data: RealData) -> None:
    made, ticks = network(data.info), []
    told = UnlabelledProblem(
        info=data.info, device="cpu", data=data, seed=0, ctx=CTX,
        on_tick=lambda loss: ticks.append(float(loss)),
    )  # fmt: skip
    FAST.pretrain(told, made)
    assert len(ticks) == FAST.updates(18) == 6
    assert made.module.training
    norm = made.module.features[1]
    assert int(norm.num_batches_tracked) == 6  # the look at the width does not count


def test_two_views_of_an_image_come_closer_than_those_of_others(data: RealData) -> None:
    """Coarse patterns, each unlike the others, are told apart much better than by chance."""
    losses: list[float] = []
    rng = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 256, (18, 3, 4, 4), generator=rng, dtype=torch.uint8)
    images = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    part = MomentumContrast(
        epochs=40, batch_size=6, queue=6, width=8, lr=0.03, crop=(0.9, 1.0), key_momentum=0.5,
        colour=False,
    )  # fmt: skip
    info = replace(data.info, mirror=False)
    told = UnlabelledProblem(
        info=info, device="cpu", data=replace(data, train_images=images),
        seed=0, ctx=CTX, on_tick=lambda loss: losses.append(float(loss)),
    )  # fmt: skip
    part.pretrain(told, network(info))
    chance = math.log(1 + part.queue)
    assert sum(losses[-9:]) / 9 < 0.5 * chance


def test_the_projection_is_drawn_from_the_problem(data: RealData) -> None:
    told = UnlabelledProblem(
        info=data.info, device="cpu", data=data, seed=0, ctx=CTX,
        on_tick=lambda loss: None,
    )  # fmt: skip
    first, second = (make_projection(6, 4, told).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["2.weight"].shape == (4, 6)


def test_options_out_of_range_are_refused() -> None:
    for options in ({"epochs": 0}, {"batch_size": 1}, {"temperature": 0.0}, {"key_momentum": 1.5}):
        with pytest.raises(DDBenchError, match=next(iter(options))):
            MomentumContrast(**options)
