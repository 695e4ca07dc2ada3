"""MTT: experts, batches, and what the loop depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import Network
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._trajectories import (
    Weights,
)
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching
from ddbench_plugins.recipes.mtt import mtt

NEEDS = frozenset({"networks"})


FAST = TrajectoryMatching(
    iterations=3, steps=4, ahead=1, latest=2, experts=2, expert_lr=0.1, expert_batch=6, rate=0.1,
    lr=1.0, lr_rate=1e-4,
)  # fmt: skip


def network() -> Network:
    made = TinyProblem(needs=NEEDS).fresh_network(0)
    made.module.double()
    return made


def images(*labels: int) -> tuple[Tensor, Tensor]:
    rows = torch.tensor(labels)
    return tiny_images(tiny_info(), rows).double(), rows


@dataclass(kw_only=True)
class Watched(TinyProblem):
    """Keeps the losses that it is told."""

    losses: list[Tensor]

    def tick(self, loss=None):
        self.losses.append(loss)


def test_matching_shortens_the_way():
    losses: list[Tensor] = []
    part = replace(FAST, iterations=40, lr=20.0, augment="")
    part.recover(Watched(needs=NEEDS, distiller=part, losses=losses), torch.arange(6))
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@pytest.mark.parametrize(
    "change", [{"rate": 0.2}, {"steps": 2}, {"lr_rate": 0.1}, {"latest": 1}, {"experts": 1}]
)
def test_every_option_bears_on_the_images(change):
    rows, found = torch.arange(6), []
    for part in (FAST, replace(FAST, **change)):
        found.append(part.recover(TinyProblem(needs=NEEDS, distiller=part), rows))
    assert not torch.equal(*found)


@pytest.mark.parametrize("change", [{"rate": 0.2}, {"steps": 2}, {"lr": 3.0}, {"iterations": 9}])
def test_experts_are_shared_by_settings_that_do_not_bear_on_them(change):
    assert replace(FAST, **change).preparation == FAST.preparation
    told = {"latest": 3, "experts": 3, "expert_lr": 0.2, "expert_batch": 5, "augment": ""}
    for name, value in told.items():
        assert replace(FAST, **{name: value}).preparation != FAST.preparation


def test_an_expert_is_trained_as_far_as_it_is_looked_at():
    """Starts 0 and 1, each an epoch from its end; every expert has a start of its own."""
    made = TinyProblem(needs=NEEDS, distiller=FAST)
    size = len(Weights(made.fresh_network(0)).flatten())
    assert [piece.shape for piece in made.prepared] == [(3, size)] * 2
    first, second = (piece[0] for piece in made.prepared)
    assert torch.equal(first, Weights(made.fresh_network("expert", 0)).flatten())
    assert not torch.equal(first, second)


def test_batch_normalisation_does_not_fit():
    bare = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(IncompatibleError, match="running statistics"):
        Weights(Network(bare, "2"))


@pytest.mark.parametrize(
    ("name", "pixels", "ipc", "wanted"),
    [
        ("cifar10", 32, 1, (50, 2, 2, 100, 1e-7, 0.01, 0)),
        ("cifar10", 32, 10, (30, 2, 20, 100, 1e-5, 0.001, 0)),
        ("cifar10", 32, 50, (30, 2, 40, 1000, 1e-5, 0.001, 0)),
        ("cifar100", 32, 1, (20, 3, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 10, (20, 2, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 50, (80, 2, 40, 1000, 1e-5, 0.01, 125)),
        ("tiny_imagenet", 64, 1, (10, 2, 10, 1e4, 1e-4, 0.01, 0)),
        ("tiny_imagenet", 64, 10, (20, 2, 40, 1e4, 1e-4, 0.01, 200)),
        ("tiny_imagenet", 64, 50, (20, 2, 40, 1e4, 1e-4, 0.01, 300)),
        ("imagenette@128", 128, 1, (20, 2, 10, 1000, 1e-6, 0.01, 0)),
    ],
)
def test_the_papers_settings_are_taken(name, pixels, ipc, wanted):
    """N, M, T⁺, rates of images and of the rate, the rate, images a step."""
    part = mtt(replace(tiny_info(pixels=pixels), name=name), ipc).distiller
    told = (part.steps, part.ahead, part.latest, part.lr, part.lr_rate, part.rate)
    assert (*told, part.batch_synthetic) == wanted
    assert (part.iterations, part.momentum, part.init) == (5000, 0.5, "real")
    assert (part.experts, part.expert_lr, part.expert_batch) == (100, 0.01, 256)


def test_other_ipc_take_the_largest_that_is_not_above():
    info = replace(tiny_info(pixels=32), name="cifar100")
    assert mtt(info, 5).distiller == mtt(info, 1).distiller


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="steps is 0"):
        TrajectoryMatching(steps=0)
