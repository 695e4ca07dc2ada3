"""How long a training is, and how its rate moves: what a protocol's options come to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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


def annealed(training: Training, images: int) -> Training:
    """The training as it runs over so many images: by update where `max_updates` cuts it.

    The epochs that are left may be few and long. A rate that fell only between them would stop far
    from its end: over two epochs a cosine would train the second one at half of the rate.
    """
    whole = training.epochs * -(-images // training.batch_size)
    cut = 0 < training.max_updates < whole
    return replace(training, annealed="update") if cut else training


def warmed(training: Training, architecture: Architecture) -> Training:
    """The training with the warm-up that an architecture asks for, unless it has one already."""
    asked = getattr(architecture, "warmup", 0.0)
    if not asked or training.warmup or training.schedule == "onecycle":
        return training
    return replace(training, warmup=asked)
