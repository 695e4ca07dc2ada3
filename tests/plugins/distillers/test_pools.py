"""Pools of networks: which are looked through, which learn, and from what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ddbench.api.types import Network
from ddbench.testing import TinyProblem, tiny_images, tiny_info
from ddbench_plugins.distillers._pools import FreshNetworks, TrainingQueue
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.recipes.idm import idm

NEEDS = frozenset({"networks"})


DM = RandomNetworks(iterations=4, batch_real=4)


QUEUE = TrainingQueue(start=2, most=4, interval=3, trained=1, steps=2, batch_size=6, lr=0.1)


@dataclass(kw_only=True)
class Flat(TinyProblem):
    """Networks without batch normalisation, by the numbers that they were asked for."""

    def __post_init__(self):
        super().__post_init__()
        self.born: dict[int, Network] = {}

    def fresh_network(self, *names):
        weights = super().fresh_network(*names).module.fc.weight
        module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        module[1].weight.data.copy_(weights.repeat(1, 192)[:, :192] * 0.2)
        module[1].bias.data.zero_()
        self.born[names[0]] = Network(module, "1")
        return self.born[names[0]]


def numbers(problem: Flat, queue: TrainingQueue, count: int) -> list[int]:
    """Which network is looked through in each iteration."""
    names = {}
    found = []
    for one in islice(queue.learners(problem), count):
        names |= {id(network): number for number, network in problem.born.items()}
        found.append(names[id(one.network)])
    return found


@pytest.mark.parametrize(
    "pool",
    [FreshNetworks(), TrainingQueue(start=1, most=1, interval=1, trained=0)],
    ids=["fresh", "queue of one"],
)
def test_without_queue_tiles_and_cross_entropy_it_is_dm(pool):
    recipe = idm(tiny_info(pixels=32), 10).distiller
    bare = replace(recipe, factor=1, cross_entropy=0.0, pool=pool, iterations=4, batch_real=4)
    rows, made = torch.arange(6), Flat(needs=NEEDS)
    dm = replace(DM, lr=bare.lr)
    torch.testing.assert_close(bare.recover(made, rows), dm.recover(made, rows), rtol=0, atol=0)
    four, rows = Flat(needs=NEEDS, labels=torch.arange(3).repeat_interleave(4)), torch.arange(12)
    assert not torch.equal(replace(bare, factor=2).recover(four, rows), dm.recover(four, rows))


def test_new_networks_join_at_every_interval_and_the_oldest_leaves():
    made = Flat(needs=NEEDS)
    seen = numbers(made, QUEUE, 60)
    assert sorted(made.born) == list(range(2 + 59 // 3))
    for iteration, number in enumerate(seen):
        newest = 1 + iteration // 3
        assert max(0, newest - 3) <= number <= newest
    assert len(set(seen)) > 10


def test_a_queue_begins_with_as_many_as_it_is_told():
    made = Flat(needs=NEEDS)
    next(replace(QUEUE, start=3).learners(made))
    assert sorted(made.born) == [0, 1, 2]


def test_as_many_learn_as_are_told_and_from_real_images_alone():
    made = Flat(needs=NEEDS)
    learners = QUEUE.learners(made)
    next(learners)
    before = {n: network.module[1].weight.clone() for n, network in made.born.items()}
    next(learners)
    moved = [n for n, w in before.items() if not torch.equal(made.born[n].module[1].weight, w)]
    assert len(moved) == 1
    idle = replace(QUEUE, trained=0).learners(still := Flat(needs=NEEDS))
    next(idle)
    first = {n: network.module[1].weight.clone() for n, network in still.born.items()}
    next(idle)
    assert all(torch.equal(still.born[n].module[1].weight, w) for n, w in first.items())


def test_networks_learn_and_their_accuracy_is_what_they_knew():
    made = Flat(needs=NEEDS)
    alone = TrainingQueue(
        start=1, most=1, interval=1000, trained=1, steps=5, batch_size=18, lr=0.02
    )
    learners = alone.learners(made)
    one = next(learners)
    assert one.accuracy == 0
    real = torch.cat([made.real(c) for c in range(3)])
    labels = torch.arange(3).repeat_interleave(6)
    before = F.cross_entropy(one.network.module(real), labels).item()
    for _ in range(10):
        one = next(learners)
    assert F.cross_entropy(one.network.module(real), labels).item() < before
    assert one.seen == 10 * 5 * 18
    assert one.accuracy == pytest.approx(100 * one.right / one.seen)
    assert 34 < one.accuracy <= 100


@pytest.mark.parametrize("size", [1, 4, 6, 7])
def test_a_training_batch_is_as_large_as_it_was_told(size):
    """Also where classes cannot give equally much, and where there are more of them."""
    made = Flat(needs=NEEDS)
    alone = TrainingQueue(start=1, most=1, interval=1000, trained=1, steps=3, batch_size=size)
    learners = alone.learners(made)
    next(learners)
    assert next(learners).seen == 3 * size


def test_training_is_that_of_plain_sgd():
    made, twin = Flat(needs=NEEDS), Flat(needs=NEEDS)
    alone = TrainingQueue(start=1, most=1, interval=1000, trained=1, steps=3, batch_size=6)
    learners = alone.learners(made)
    next(learners), next(learners)
    module = twin.fresh_network(0).module
    sgd = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        batch = [twin.real_batch(c, 2, twin.rng("train", 0, step, c)) for c in range(3)]
        sgd.zero_grad()
        labels = torch.tensor([0, 0, 1, 1, 2, 2])
        F.cross_entropy(module(torch.cat(batch)), labels).backward()
        sgd.step()
    torch.testing.assert_close(made.born[0].module[1].weight, module[1].weight)


def test_the_cross_entropy_counts_by_the_networks_accuracy_in_percent():
    made, rows = Flat(needs=NEEDS), torch.arange(6)
    images, network = tiny_images(tiny_info(), made.labels), made.fresh_network(0)
    classes = {cls: rows[2 * cls : 2 * cls + 2] for cls in range(3)}
    part = replace(DM, augment="", cross_entropy=0.5)

    def loss(accuracy: float) -> float:
        return float(part.compute_slope(made, network, images, classes, 0, accuracy=accuracy)[0])

    logits = network.module(images)
    entropy = sum(F.cross_entropy(logits[r], made.labels[r]).item() for r in classes.values())
    assert loss(40.0) - loss(0.0) == pytest.approx(0.5 * 40 * entropy, rel=1e-4)
