"""No regularizer: what an ablation compares to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer
from ddbench.api.types import Step


class NoRegularizer(Regularizer):
    """A penalty of 0."""

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        return step.images.new_zeros(())


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"none": NoRegularizer()}
