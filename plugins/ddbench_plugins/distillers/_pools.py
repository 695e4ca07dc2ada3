"""Networks that images are matched in: fresh ones, or a queue of networks that learn meanwhile.

A pool is an option of a distiller that has options of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from ddbench.api.distiller import Problem
from ddbench.api.options import Options
from ddbench.api.types import Network


@dataclass(slots=True)
class Learner:
    """A network with what it has learned so far."""

    network: Network
    sgd: torch.optim.Optimizer | None = None
    right: int = 0
    seen: int = 0

    @property
    def accuracy(self) -> float:
        """Percent of real images that it knew when it was trained on them; 0 if it never was.

        Differences:
            The released code starts counting again whenever students are judged.
        """
        return 100 * self.right / self.seen if self.seen else 0.0


class Pool(Options):
    """A source of the networks that a distiller looks through."""

    @abstractmethod
    def learners(self, problem: Problem) -> Iterator[Learner]:
        """Yields one network an iteration, without end; works for the next in between."""


class FreshNetworks(Pool, kw_only=True):
    """Networks that were never trained, in train mode."""

    identity: ClassVar[str] = "ddbench_plugins.network_pools:FreshNetworks"

    every: Annotated[int, Ge(1)] = 1
    """Iterations that a network serves."""

    def learners(self, problem: Problem) -> Iterator[Learner]:
        for number in count():
            one = Learner(problem.fresh_network(number))
            for _ in range(self.every):
                yield one


class TrainingQueue(Pool, kw_only=True):
    """Networks of all ages: some learn after each iteration, new ones join, the oldest leave.

    Networks are looked through in eval mode.

    Differences:
        Classes give as many images to a training batch, or one more; the released code
        draws from all.

    References:
        Zhao et al., Improved Distribution Matching for Dataset Condensation, CVPR 2023.
    """

    identity: ClassVar[str] = "ddbench_plugins.network_pools:TrainingQueue"
    version = 2

    start: Annotated[int, Ge(1)] = 3
    """Networks at the beginning."""
    most: Annotated[int, Ge(1)] = 100
    """Networks at once."""
    interval: Annotated[int, Ge(1)] = 30
    """Iterations between two new networks."""
    trained: Annotated[int, Ge(0)] = 2
    """Networks that learn after each iteration."""
    steps: Annotated[int, Ge(0)] = 10
    """SGD steps that each of them takes on real images."""
    batch_size: Annotated[int, Ge(1)] = 256
    lr: Annotated[float, Ge(0)] = 0.01
    momentum: Annotated[float, Ge(0)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 5e-4

    def learners(self, problem: Problem) -> Iterator[Learner]:
        queue: deque[Learner] = deque(maxlen=self.most)
        for iteration in count():
            new = self.start if iteration == 0 else int(iteration % self.interval == 0)
            for _ in range(new):
                queue.append(self._start_learner(problem, self._next_number(iteration, len(queue))))
            rng = problem.rng("queue", iteration)
            chosen = queue[int(torch.randint(len(queue), (), generator=rng))]
            chosen.network.module.eval()
            yield chosen
            for place in torch.randperm(len(queue), generator=rng)[: self.trained].tolist():
                self._train(problem, queue[place], iteration)

    def _next_number(self, iteration: int, filled: int) -> int:
        """Numbers a new network: those of the start, then one an interval."""
        return filled if iteration == 0 else self.start - 1 + iteration // self.interval

    def _start_learner(self, problem: Problem, number: int) -> Learner:
        network = problem.fresh_network(number)
        sgd = torch.optim.SGD(
            network.module.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return Learner(network, sgd)

    def _train(self, problem: Problem, one: Learner, iteration: int) -> None:
        """Takes a few steps on real images of all classes."""
        assert one.sgd is not None
        classes = problem.info.num_classes
        share, rest = divmod(self.batch_size, classes)
        module = one.network.module.train().requires_grad_(True)
        forward = problem.probe(one.network)
        for step in range(self.steps):
            # Classes have equal shares; which of them have one image more is drawn.
            order = torch.randperm(classes, generator=problem.rng("train", iteration, step))
            taken = {c: share + (place < rest) for place, c in enumerate(order.tolist())}
            batches = {
                c: problem.real_batch(c, count, problem.rng("train", iteration, step, c))
                for c, count in sorted(taken.items())
                if count
            }
            labels = torch.cat([b.new_full((len(b),), c).long() for c, b in batches.items()])
            logits = forward(torch.cat([*batches.values()])).logits
            one.sgd.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(logits, labels).backward()
            one.sgd.step()
            one.right += int((logits.argmax(1) == labels).sum())
            one.seen += len(labels)
        one.sgd.zero_grad(set_to_none=True)
        module.eval()
