"""Schedules, budgets, optimiser groups, and a network that learns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ddbench.context import Context
from ddbench.errors import DivergedError
from ddbench.spec import Augmentation, Training
from ddbench.stream import Stream
from ddbench.training import AveragedWeights, Schedule, budget, make_optimizer, predict, train

PLAIN = Augmentation(crop=(1.0, 1.0), flip=False, mix="none")


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


def test_a_limit_on_updates_shortens_the_schedule_itself():
    assert budget(Training(epochs=100), 7).updates == 700
    cut = budget(Training(epochs=100, max_updates=250), 100)
    assert (cut.updates, cut.epochs) == (250, 3)
    assert budget(Training(epochs=100, max_updates=250), 1).updates == 100


def test_weight_decay_spares_vectors():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    decayed, plain = make_optimizer(module, Training(epochs=1, weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3
    assert [p.dim() for p in decayed["params"]] == [2]
    assert plain["weight_decay"] == 0
    assert {p.dim() for p in plain["params"]} == {1}


def _problem(info):
    labels = torch.arange(60) % 3
    images = torch.zeros(60, *info.shape, dtype=torch.uint8)
    images[torch.arange(60), labels] = 255
    stream = Stream(
        images=images, labels=labels, weights=torch.ones(60), info=info, augmentation=PLAIN,
        batch_size=20, seed=0,
    )  # fmt: skip
    torch.manual_seed(0)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    return module, stream


def _loss(logits, batch):
    return F.cross_entropy(logits, batch.labels)


def test_a_network_learns_and_ends_in_eval_mode(info):
    module, stream = _problem(info)
    seen = []
    train(module, stream, Training(epochs=20, lr=0.1), _loss, Context(), "t", seen.append)
    assert not module.training
    assert seen == list(range(20))
    assert (predict(module, stream.images, info, Context()).argmax(1) == stream.labels).all()


def test_training_is_repeatable_and_counts_its_updates(info):
    ends = []
    for _ in range(2):
        module, stream = _problem(info)
        train(module, stream, Training(epochs=9, max_updates=5), _loss, Context(), "t")
        ends.append(module[2].weight.detach().clone())
    assert torch.equal(*ends)


def test_a_loss_that_is_not_finite_stops_the_training(info):
    module, stream = _problem(info)
    with pytest.raises(DivergedError, match="not finite after epoch 0"):
        train(
            module, stream, Training(epochs=3), lambda logits, batch: logits.sum() * torch.inf,
            Context(), "t",
        )  # fmt: skip


# -- a moving average of the weights ---------------------------------------------------------------


def _linear(value):
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(module[0].weight, value)
    return module


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_weights_are_averaged_as_in_a_loop_and_running_statistics_are_not(decay):
    module = _linear(1.0)
    averaged, held = AveragedWeights(module, decay), None
    for step in range(1, 6):
        nn.init.constant_(module[0].weight, float(step * step))
        nn.init.constant_(module[1].running_mean, float(step))
        averaged.update()
        now = float(step * step)
        held = now if held is None else decay * held + (1 - decay) * now
    with averaged.in_place():
        assert float(module[0].weight) == pytest.approx(held)
    assert float(module[0].weight) == 25.0  # training goes on with its own
    averaged.put()
    assert float(module[0].weight) == pytest.approx(held)
    assert float(module[1].running_mean) == 5.0


def test_without_decay_weights_are_what_training_made_of_them():
    module = _linear(3.0)
    averaged = AveragedWeights(module, 0.0)
    averaged.update()
    nn.init.constant_(module[0].weight, 4.0)
    averaged.put()
    assert float(module[0].weight) == 4.0


def test_a_training_ends_with_the_average_and_shows_it_after_each_epoch(info):
    ends, shown = {}, []
    for decay in (0.0, 0.9):
        module, stream = _problem(info)
        training = Training(epochs=3, lr=0.1, weight_ema=decay)
        train(module, stream, training, _loss, Context(), "t",
              lambda epoch, m=module: shown.append(m[2].weight.detach().clone()))  # fmt: skip
        ends[decay] = module[2].weight.detach().clone()
    assert not torch.equal(ends[0.0], ends[0.9])
    assert torch.equal(shown[2], ends[0.0])
    assert torch.equal(shown[5], ends[0.9])
    # By hand: the weights after each update, averaged from the first on.
    module, stream = _problem(info)
    steps, held = [], None
    for updates in range(1, 10):
        module, stream = _problem(info)
        cut = Training(epochs=3, lr=0.1, schedule="constant", max_updates=updates)
        train(module, stream, cut, _loss, Context(), "t")
        steps.append(module[2].weight.detach().clone())
        held = steps[-1] if held is None else 0.9 * held + 0.1 * steps[-1]
    module, stream = _problem(info)
    whole = Training(epochs=3, lr=0.1, schedule="constant", weight_ema=0.9)
    train(module, stream, whole, _loss, Context(), "t")
    torch.testing.assert_close(module[2].weight.detach(), held)


def test_half_cosine_starts_at_lr_and_would_end_at_its_half():
    _, schedule = _rates(Training(epochs=100, lr=0.2, schedule="half_cosine"), 3)
    assert schedule.rate(0, 0) == pytest.approx(0.2)
    assert schedule.rate(50, 0) == pytest.approx(0.1 * (1 + 2**-0.5))
    assert schedule.rate(100, 0) == pytest.approx(0.1)
