"""Total variation: penalises differences between neighbouring pixels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer
from ddbench.api.types import Step


class TotalVariation(Regularizer):
    """Norms of the differences between neighbouring pixels."""

    diagonals: bool = True
    """Count diagonal neighbours as well."""

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i ( ‖∂_→ x_i‖₂ + ‖∂_↓ x_i‖₂ + ‖∂_↘ x_i‖₂ + ‖∂_↙ x_i‖₂ ).

        ∂ are differences to the next pixel in a direction, without those across the border; norms
        are over channels and positions, not squared.

        Args:
            step: `images` is read, normalised as it is.

        Differences:
            The released code of SRe2L takes one norm over the batch instead of the mean over
            images, so that its value depends on how many images are made together.

        References:
            Yin et al., Dreaming to Distill (DeepInversion), CVPR 2020.
        """
        x = step.images
        pairs = [(x[..., 1:], x[..., :-1]), (x[..., 1:, :], x[..., :-1, :])]
        if self.diagonals:
            pairs.append((x[..., 1:, 1:], x[..., :-1, :-1]))
            pairs.append((x[..., 1:, :-1], x[..., :-1, 1:]))
        norms = [torch.linalg.vector_norm((a - b).flatten(1), dim=1) for a, b in pairs]
        return torch.stack(norms).sum(0).mean()


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"total_variation": TotalVariation()}
