"""Draws images to nothing: what regularizers do alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.types import Network, Step, Tap


@dataclass(frozen=True, slots=True)
class Nothing:
    """A loss of zero."""

    version: ClassVar[int] = 1
    target: ClassVar[None] = None
    separable: ClassVar[bool] = True

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return ()

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """L = 0, without a gradient."""
        return step.images.new_zeros(())


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"none": Nothing()}
