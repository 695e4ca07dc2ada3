"""Averages of weights: against a loop by hand, and in a training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.api.recipe import Training
from ddbench.runtime.context import Context
from ddbench.training.ema import AveragedWeights
from ddbench.training.loop import Trainee, train
from tests.training.test_loop import _loss, _problem


def weights_of(module):
    return module[2].weight.detach().clone()


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
        assert module[0].weight.item() == pytest.approx(held)
    assert module[0].weight.item() == 25.0  # training goes on with its own
    averaged.put()
    assert module[0].weight.item() == pytest.approx(held)
    assert module[1].running_mean.item() == 5.0


def test_without_decay_weights_are_what_training_made_of_them():
    module = _linear(3.0)
    averaged = AveragedWeights(module, 0.0)
    averaged.update()
    nn.init.constant_(module[0].weight, 4.0)
    averaged.put()
    assert module[0].weight.item() == 4.0


def test_a_training_ends_with_the_average_and_shows_it_after_each_epoch(info):
    ends, shown = {}, []
    for decay in (0.0, 0.9):
        module, stream = _problem(info)
        training = Training(epochs=3, lr=0.1, weight_ema=decay)
        train([Trainee(module, 0, lambda epoch, m=module: shown.append(weights_of(m)))],
              stream, training, _loss, Context(), "t")  # fmt: skip
        ends[decay] = weights_of(module)
    assert not torch.equal(ends[0.0], ends[0.9])
    assert torch.equal(shown[2], ends[0.0])
    assert torch.equal(shown[5], ends[0.9])
    # By hand: the weights after each update, averaged from the first on.
    module, stream = _problem(info)
    steps, held = [], None
    for updates in range(1, 10):
        module, stream = _problem(info)
        cut = Training(epochs=3, lr=0.1, schedule="constant", max_updates=updates)
        train([Trainee(module, 0)], stream, cut, _loss, Context(), "t")
        steps.append(weights_of(module))
        held = steps[-1] if held is None else 0.9 * held + 0.1 * steps[-1]
    module, stream = _problem(info)
    whole = Training(epochs=3, lr=0.1, schedule="constant", weight_ema=0.9)
    train([Trainee(module, 0)], stream, whole, _loss, Context(), "t")
    torch.testing.assert_close(weights_of(module), held)
