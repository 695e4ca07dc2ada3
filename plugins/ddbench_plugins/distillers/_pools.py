"""Which networks images are matched in: fresh ones, or a queue of networks that learn meanwhile.

A pool is a part of a distiller: an option with options, and a version for its key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import ClassVar, Protocol, runtime_checkable

import torch

from ddbench.api.distiller import DistillProblem
from ddbench.api.types import Network
from ddbench_plugins._options import check_at_least


@dataclass(slots=True)
class Learner:
    """A network with what it has learned so far."""

    network: Network
    sgd: torch.optim.Optimizer | None = None
    right: int = 0
    seen: int = 0

    @property
    def accuracy(self) -> float:
        """Percent of the real images that it knew when it was trained on them; 0 if it never was.

        Differences:
            The released code starts counting again whenever students are judged.
        """
        return 100 * self.right / self.seen if self.seen else 0.0


@runtime_checkable
class Pool(Protocol):
    """Where a distiller takes the network of each iteration from."""

    version: ClassVar[int]

    def learners(self, problem: DistillProblem) -> Iterator[Learner]:
        """One an iteration, without end. What happens between iterations happens between these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshNetworks:
    """Networks that were never trained, in train mode."""

    identity: ClassVar[str] = "ddbench_plugins.network_pools:FreshNetworks"
    version: ClassVar[int] = 1

    every: int = 1
    """Iterations that a network serves."""

    def __post_init__(self) -> None:
        check_at_least(self, every=1)

    def learners(self, problem: DistillProblem) -> Iterator[Learner]:
        for number in count():
            one = Learner(problem.fresh_network(number))
            for _ in range(self.every):
                yield one


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingQueue:
    """Networks of all ages: some learn after each iteration, new ones join, the oldest leave.

    Networks are looked through in eval mode.

    Differences:
        Classes give as many images to a training batch, or one more; the released code
        draws from all.

    References:
        Zhao et al., Improved Distribution Matching for Dataset Condensation, CVPR 2023.
    """

    identity: ClassVar[str] = "ddbench_plugins.network_pools:TrainingQueue"
    version: ClassVar[int] = 2

    start: int = 3
    """Networks at the beginning."""
    most: int = 100
    """Networks at once."""
    interval: int = 30
    """Iterations between two new networks."""
    trained: int = 2
    """Networks that learn after each iteration."""
    steps: int = 10
    """SGD steps that each of them takes on real images."""
    batch_size: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("start", "most", "interval", "batch_size"), 1)
        check_at_least(self, **counts, trained=0, steps=0, lr=0, momentum=0, weight_decay=0)

    def learners(self, problem: DistillProblem) -> Iterator[Learner]:
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
        """Of a new network: those of the start, then one an interval."""
        return filled if iteration == 0 else self.start - 1 + iteration // self.interval

    def _start_learner(self, problem: DistillProblem, number: int) -> Learner:
        network = problem.fresh_network(number)
        sgd = torch.optim.SGD(
            network.module.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return Learner(network, sgd)

    def _train(self, problem: DistillProblem, one: Learner, iteration: int) -> None:
        """A few steps on real images of all classes."""
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
