"""How many epochs and updates a training has."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ddbench.spec import Training


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a training really is, once `max_updates` has been looked at."""

    epochs: int
    updates: int
    steps: int
    """Batches an epoch."""


def budget(training: Training, steps: int) -> Budget:
    """The epochs and updates of a training over `steps` batches an epoch.

    `max_updates` shortens the schedule itself: a cosine always ends at zero.
    """
    updates = training.epochs * steps
    if training.max_updates and updates > training.max_updates:
        updates = training.max_updates
    return Budget(math.ceil(updates / steps), updates, steps)
