"""MTT: experts, batches, and what the loop depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import Network
from ddbench.store.keys import spell_text
from ddbench.testing import TinyProblem, check_part, tiny_images, tiny_info
from ddbench_plugins.distillers._trajectories import (
    Weights,
)
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching

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


def test_options_out_of_range_are_refused():
    with pytest.raises(DDBenchError, match="steps is 0"):
        TrajectoryMatching(steps=0)


def test_the_rate_is_kept_if_asked_for_and_has_moved():
    problem = TinyProblem(needs=NEEDS, distiller=FAST)
    images = FAST.recover(problem, torch.arange(6))
    part = replace(FAST, keep_rate=True)
    learned = part.recover(TinyProblem(needs=NEEDS, distiller=part), torch.arange(6))
    assert torch.equal(learned.images, images)
    assert learned.rate > 0
    assert learned.rate != torch.tensor(FAST.rate).item()
    assert spell_text(part) != spell_text(FAST)
    assert "keep_rate" not in spell_text(FAST)
    assert not check_part("distiller", "trajectory_matching", part)
