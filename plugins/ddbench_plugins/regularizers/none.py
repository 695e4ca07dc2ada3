"""No regularizer: what an ablation compares to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap


@dataclass(frozen=True, slots=True)
class NoRegularizer:
    """A penalty of 0."""

    version: ClassVar[int] = 1

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return ()

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        return step.images.new_zeros(())


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"none": NoRegularizer()}
