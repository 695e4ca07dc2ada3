"""L2: penalises the norm of images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer
from ddbench.api.types import Step


class L2(Regularizer):
    """Mean norm of the images, in normalised pixels."""

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i ‖x_i‖₂, not squared."""
        return torch.linalg.vector_norm(step.images.flatten(1), dim=1).mean()


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"l2": L2()}
