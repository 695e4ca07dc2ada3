"""Data densification of G-VBSM: keeps the images of a class from being all alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer
from ddbench.api.types import Step


class Densification(Regularizer):
    """Evens out the spectrum of the images of each class."""

    temperature: Annotated[float, Gt(0)] = 4.0
    """τ: how much more even the spectrum is to be; 1 for no penalty."""
    side: Annotated[int, Ge(1)] = 32
    """Pixels along each side to which images are pooled first."""

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns Σ_y KL( sg softmax(l_y / τ) ‖ softmax(l_y) ).

        l_y are the eigenvalues of X Xᵀ, X the pooled images of class y as rows; sg lets no gradient
        through. 0 for a class with one image in the batch.

        Args:
            step: `images` is read, normalised as it is.

        References:
            Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and
            Statistical Matching (G-VBSM), CVPR 2024, arXiv:2311.17950.
        """
        images = torch.nn.functional.adaptive_avg_pool2d(step.images, self.side).flatten(1)  # b d
        total = images.new_zeros(())
        for cls in step.labels.unique().tolist():
            own = images[step.labels == cls]  # m d
            if len(own) > 1:
                total = total + spectrum_gap(torch.linalg.eigvalsh(own @ own.T), self.temperature)
        return total


def spectrum_gap(values: Float[torch.Tensor, " m"], temperature: float) -> Float[torch.Tensor, ""]:
    """Returns KL( sg softmax(l / τ) ‖ softmax(l) ) of eigenvalues l."""
    wanted = (values.detach() / temperature).log_softmax(0)
    return torch.nn.functional.kl_div(
        values.log_softmax(0), wanted, reduction="sum", log_target=True
    )


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"densification": Densification()}
