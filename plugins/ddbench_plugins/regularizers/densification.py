"""Data densification of G-VBSM: keeps the images of a class from being all alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap


@dataclass(frozen=True, slots=True)
class Densification:
    """Evens out the spectrum of the images of each class."""

    version: ClassVar[int] = 1

    temperature: float = 4.0
    """τ: how much more even the spectrum is to be; 1 for no penalty."""
    side: int = 32
    """Pixels along each side to which images are pooled first."""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.side < 1:
            raise DDBenchError(
                f"temperature is {self.temperature}, side is {self.side}",
                "expected: a temperature above 0, a side of 1 or more",
            )

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return ()

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Σ_y KL( sg softmax(l_y / τ) ‖ softmax(l_y) )

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
    """KL( sg softmax(l / τ) ‖ softmax(l) )"""
    wanted = (values.detach() / temperature).log_softmax(0)
    return torch.nn.functional.kl_div(
        values.log_softmax(0), wanted, reduction="sum", log_target=True
    )


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"densification": Densification()}
