"""A moving average of a network's weights, in their place when it is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class AveragedWeights:
    """A moving average of a module's weights, from those after the first update on.

    θ̄ ← α θ̄ + (1 − α) θ; buffers are those of the module itself. Nothing is averaged if α is 0.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        average = get_ema_multi_avg_fn(decay)
        self._held = AveragedModel(module, multi_avg_fn=average) if decay else None

    def update(self) -> None:
        """Takes in the weights as they are after an update."""
        if self._held is not None:
            self._held.update_parameters(self._module)

    @torch.no_grad()
    def put(self) -> None:
        """The average takes the place of the weights."""
        if self._held is not None:
            means = self._held.module.parameters()
            for weights, mean in zip(self._module.parameters(), means, strict=True):
                weights.copy_(mean)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the place of the weights, inside; what training goes on with, after."""
        if self._held is None:
            yield
            return
        kept = [weights.detach().clone() for weights in self._module.parameters()]
        self.put()
        yield
        with torch.no_grad():
            for weights, own in zip(self._module.parameters(), kept, strict=True):
                weights.copy_(own)
