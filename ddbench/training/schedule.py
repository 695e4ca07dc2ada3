"""How long a training is, and how its rate moves: what a protocol's options come to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ddbench.api.recipe import Training
from ddbench.api.roles import Architecture


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a training really is, once `max_updates` has been looked at."""

    epochs: int
    updates: int
    steps: int
    """Batches an epoch."""


def budget(training: Training, steps: int) -> Budget:
    """The epochs and updates of a training over `steps` batches an epoch.

    `max_updates` shortens the schedule itself: a cosine always ends near zero.
    """
    updates = training.epochs * steps
    if training.max_updates and updates > training.max_updates:
        updates = training.max_updates
    return Budget(math.ceil(updates / steps), updates, steps)


def anneal(training: Training, images: int) -> Training:
    """The training as it runs over so many images: by update where `max_updates` cuts it.

    The epochs that are left may be few and long. A rate that fell only between them would stop far
    from its end: over two epochs a cosine would train the second one at half of the rate.
    """
    whole = training.epochs * -(-images // training.batch_size)
    cut = 0 < training.max_updates < whole
    return replace(training, annealed="update") if cut else training


def warm_up(training: Training, architecture: Architecture) -> Training:
    """The training with the warm-up that an architecture asks for, unless it has one already."""
    asked = architecture.warmup
    if not asked or training.warmup or training.schedule == "onecycle":
        return training
    return replace(training, warmup=asked)


def make_optimizer(module: torch.nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW or SGD, with weight decay only on weights of two and more dimensions.

    One fused kernel a step: 2 to 3 times as fast as the loop over parameters, on a CPU as well.
    """
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=training.lr,
            momentum=training.momentum,
            nesterov=training.nesterov,
            fused=True,
        )
    return torch.optim.AdamW(groups, lr=training.lr, betas=(training.momentum, 0.999), fused=True)


class Schedule:
    """Sets the learning rate before each update."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, training: Training, length: Budget
    ) -> None:
        self._optimizer = optimizer
        self._training = training
        self._length = length

    def rate(self, epoch: int, update: int) -> float:
        """The learning rate of an update; e of E counts epochs, or updates if `annealed` says so.

        Cosine: lr/2 (1 + cos(pi e / E)), which is lr at e = 0 and would be 0 at E.
        Half-cosine: lr/2 (1 + cos(pi e / 2E)), which would be lr/2 at E.
        One-cycle: cosine from lr/25 up over the first 30 % of updates, then down to 0.
        Halfway: lr, then lr/10 in the second half, the shorter one if E is odd.
        Each times the warm-up.
        """
        lr, length = self._training.lr * self._warm(update), self._length
        by_update = self._training.annealed == "update"
        past = update / length.updates if by_update else epoch / length.epochs
        if self._training.schedule == "cosine":
            return lr * _half_cosine(past)
        if self._training.schedule == "half_cosine":
            return lr * _half_cosine(past / 2)
        if self._training.schedule == "onecycle":
            place, top = update / max(length.updates - 1, 1), 0.3
            if place < top:
                return lr / 25 + (lr - lr / 25) * _half_cosine(1 - place / top)
            return lr * _half_cosine((place - top) / (1 - top))
        if self._training.schedule == "halfway" and update >= self._turn:
            return lr / 10
        return lr

    def _warm(self, update: int) -> float:
        """Returns the share of the rate in a warm-up: it rises in a line, never from zero."""
        rising = self._training.warmup * self._length.updates
        return min(1.0, (update + 1) / rising) if rising else 1.0

    @property
    def _turn(self) -> int:
        """The update with which the second half begins."""
        if self._training.annealed == "update":
            return (self._length.updates + 1) // 2
        return (self._length.epochs + 1) // 2 * self._length.steps

    def set(self, epoch: int, update: int) -> None:
        """Puts the rate of an update in place, and forgets momentum halfway if asked to."""
        if self._training.schedule == "halfway" and update == self._turn:
            self._optimizer.state.clear()
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate(epoch, update)


def _half_cosine(place: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * place))
