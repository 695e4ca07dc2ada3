"""Protocol `dc`: the points of its schedule, and one augmentation a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.dsa import OPERATIONS
from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Training
from ddbench.config.grid import Selection, expand
from ddbench.testing import tiny_info
from ddbench.training.batches import Stream
from ddbench.training.schedule import Schedule, budget


@pytest.fixture
def training(registry) -> Training:
    return registry.get("protocol", "dc")(tiny_info(pixels=32)).training


def test_the_numbers_are_the_papers(training):
    assert (training.optimizer, training.lr, training.momentum) == ("sgd", 0.01, 0.9)
    assert (training.weight_decay, training.batch_size, training.epochs) == (5e-4, 256, 1001)
    assert not training.nesterov
    how = training.augmentation
    assert (how.crop, how.flip, how.mix) == ((1.0, 1.0), False, "none")
    assert how.one_of.split("_") == list(OPERATIONS)


@pytest.mark.parametrize(("told", "first"), [(1000, 501), (300, 151), (5, 3)])
def test_the_rate_falls_an_epoch_before_the_released_loop_lowers_it(training, told, first):
    """It runs epochs 0 to E; here a tenth begins with epoch E // 2 + 1, there right after it."""
    assert first == told // 2 + 1
    training = replace(training, epochs=told + 1)
    schedule = _schedule(training, 3)[0]
    rates = [schedule.rate(epoch, 3 * epoch) for epoch in range(told + 1)]
    assert rates[:first] == [0.01] * first
    assert rates[first:] == [pytest.approx(0.001)] * (told + 1 - first)


def _schedule(training: Training, steps: int) -> tuple[Schedule, torch.optim.Optimizer]:
    optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=1.0, momentum=0.9)
    return Schedule(optimizer, training, budget(training, steps)), optimizer


def test_momentum_is_forgotten_once_and_only_halfway(training):
    schedule, optimizer = _schedule(replace(training, epochs=5), 2)
    (weight,) = optimizer.param_groups[0]["params"]
    kept = []
    for update in range(10):
        schedule.set(update // 2, update)
        kept.append(bool(optimizer.state))
        weight.grad = torch.ones(2)
        optimizer.step()
    assert [update for update in range(10) if not kept[update]] == [0, 6]


def _stream(one_of: str, info) -> Stream:
    count = 12
    rng = torch.Generator().manual_seed(0)
    return Stream(
        images=torch.rand(count, *info.shape, generator=rng), labels=torch.arange(count) % 3,
        weights=torch.ones(count), info=info, batch_size=4, seed=0,
        augmentation=Augmentation(crop=(1.0, 1.0), flip=False, mix="none", one_of=one_of),
    )  # fmt: skip


def test_batches_are_augmented_by_seed_epoch_and_step_alone():
    info = tiny_info()
    plain, cut = _stream("", info), _stream("cutout", info)
    for epoch in (0, 1):
        for before, after, again in zip(
            plain.epoch(epoch), cut.epoch(epoch), cut.epoch(epoch), strict=True
        ):
            assert torch.equal(before.indices, after.indices)
            assert torch.equal(after.images, again.images)
            changed = (before.images != after.images).flatten(1).any(1)
            assert changed.all()
            holes = after.images == 0
            assert not torch.equal(holes[0], holes[1])  # parameters of their own


def test_digits_are_never_mirrored():
    info = replace(tiny_info(), mirror=False)
    plain, flipped = _stream("", info), _stream("flip", info)
    for before, after in zip(plain.epoch(0), flipped.epoch(0), strict=True):
        assert torch.equal(before.images, after.images)


def test_an_unknown_operation_is_refused_before_anything_runs(registry):
    choice = Selection(
        methods=("random",), seeds=1, assignments={"evaluate.augmentation.one_of": '"colour"'}
    )
    with pytest.raises(DDBenchError, match="no operation 'colour'"):
        expand(choice, registry, None)
