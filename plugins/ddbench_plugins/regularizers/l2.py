"""L2: penalises the norm of images."""

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
class L2:
    """Mean norm of the images, in normalised pixels."""

    version: ClassVar[int] = 1

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return ()

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """1/b Σ_i ‖x_i‖₂, not squared."""
        return torch.linalg.vector_norm(step.images.flatten(1), dim=1).mean()


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"l2": L2()}
