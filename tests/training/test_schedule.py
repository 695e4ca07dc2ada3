"""Rates of every schedule, how long a training is, and which weights decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.api.recipe import Training
from ddbench.training.schedule import Schedule, anneal, budget, make_optimizer


def _rates(training, steps):
    length = budget(training, steps)
    schedule = Schedule(torch.optim.SGD([torch.zeros(1)], lr=1), training, length)
    return length, schedule


def test_cosine_starts_at_lr_halves_in_the_middle_and_would_end_at_zero():
    _, schedule = _rates(Training(epochs=100, lr=0.2), 3)
    assert schedule.rate(0, 0) == pytest.approx(0.2)
    assert schedule.rate(50, 0) == pytest.approx(0.1)
    assert schedule.rate(100, 0) == pytest.approx(0.0)
    assert schedule.rate(7, 0) == schedule.rate(7, 2)


def test_onecycle_rises_from_a_25th_to_lr_and_falls_to_zero():
    length, schedule = _rates(Training(epochs=10, lr=0.5, schedule="onecycle"), 10)
    rates = [schedule.rate(0, u) for u in range(length.updates)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(0.5, rel=1e-2)
    assert rates.index(max(rates)) in (29, 30)
    assert rates[-1] == pytest.approx(0.0)


def test_a_warm_up_rises_in_a_straight_line_to_what_the_schedule_says():
    length, schedule = _rates(Training(epochs=10, lr=0.2, warmup=0.1), 10)
    plain = Schedule(torch.optim.SGD([torch.zeros(1)], lr=1), Training(epochs=10, lr=0.2), length)
    rises = [schedule.rate(0, u) / plain.rate(0, u) for u in range(length.updates)]
    assert rises[:10] == pytest.approx([0.1 * (u + 1) for u in range(10)])
    assert rises[10:] == [1.0] * 90


def test_a_limit_on_updates_shortens_the_schedule_itself():
    assert budget(Training(epochs=100), 7).updates == 700
    cut = budget(Training(epochs=100, max_updates=250), 100)
    assert (cut.updates, cut.epochs) == (250, 3)
    assert budget(Training(epochs=100, max_updates=250), 1).updates == 100


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("half_cosine", 0.1)])
def test_a_training_that_a_limit_cuts_comes_to_its_end_however_long_an_epoch_is(schedule, end):
    """Full CIFAR-10 under ddbench-v1: 500 updates an epoch, 1,000 in all."""
    whole = Training(epochs=100, max_updates=1000, lr=0.2, schedule=schedule)
    length, found = _rates(anneal(whole, 50_000), 500)
    rates = [found.rate(update // 500, update) for update in range(length.updates)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[500] == pytest.approx(0.1 if schedule == "cosine" else 0.17071, rel=1e-4)
    assert rates[-1] == pytest.approx(end, abs=1e-3)
    assert rates == sorted(rates, reverse=True)


def test_a_training_that_no_limit_cuts_stays_as_it_is():
    for training in (
        Training(epochs=10, max_updates=1000, batch_size=100),
        Training(epochs=10, batch_size=100),
    ):
        assert anneal(training, 10_000) is training
    assert anneal(Training(epochs=10, max_updates=1000), 10_001).annealed == "update"


@pytest.mark.parametrize(("how", "turn"), [("epoch", 6), ("update", 5)])
def test_halfway_goes_on_with_a_tenth_and_without_momentum(how, turn):
    training = Training(
        epochs=3, lr=0.1, optimizer="sgd", momentum=0.9, schedule="halfway", annealed=how
    )
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1, momentum=0.9)
    schedule = Schedule(optimizer, training, budget(training, 3))
    rates, kept = [], []
    for update in range(9):
        schedule.set(update // 3, update)
        kept.append(len(optimizer.state) == 1)
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.ones(1)
        optimizer.step()
    assert rates == pytest.approx([0.1] * turn + [0.01] * (9 - turn))
    assert kept == [update not in (0, turn) for update in range(9)]


def test_weight_decay_spares_vectors():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    decayed, plain = make_optimizer(module, Training(epochs=1, weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3
    assert [p.dim() for p in decayed["params"]] == [2]
    assert plain["weight_decay"] == 0
    assert {p.dim() for p in plain["params"]} == {1}


def test_half_cosine_starts_at_lr_and_would_end_at_its_half():
    _, schedule = _rates(Training(epochs=100, lr=0.2, schedule="half_cosine"), 3)
    assert schedule.rate(0, 0) == pytest.approx(0.2)
    assert schedule.rate(50, 0) == pytest.approx(0.1 * (1 + 2**-0.5))
    assert schedule.rate(100, 0) == pytest.approx(0.1)
