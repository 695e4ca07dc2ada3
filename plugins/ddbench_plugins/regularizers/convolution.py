"""Regularization with the statistics of convolutions and patches, as in G-VBSM and EDC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.regularizers._convolution_moments import ConvolutionMoments
from ddbench_plugins.regularizers._moments import select_moments
from ddbench_plugins.regularizers._moving_average import (
    Drop,
    MomentRegularizer,
    MovingAverage,
    draw_kept_layers,
)

SALT = 0xC04


class Convolution(MomentRegularizer):
    """Distance of the inputs of convolutions to those of real images, by channel and by patch."""

    average: MovingAverage = MovingAverage()
    patch: Annotated[int, Ge(0)] = 4
    """Positions along each side of a patch; 0 for no patches."""
    category: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Share of the weight that goes to the categories of a batch's images (EDC); the rest goes to
    the real images as a whole."""
    drop: Drop = 0.0
    """Probability that a layer is left out of a step."""

    def _list_places(self) -> Iterator[tuple[ConvolutionMoments, float]]:
        """Yields what is compared, and its share: channels and patches, whole and by category."""
        for patch in (0, self.patch) if self.patch else (0,):
            if self.category < 1:
                yield ConvolutionMoments(patch), 1 - self.category
            if self.category > 0:
                yield ConvolutionMoments(patch, by_category=True), self.category

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return tuple(statistic for statistic, _ in self._list_places())

    def taps(self, network: Network) -> tuple[Tap, ...]:
        taps = (tap for statistic, _ in self._list_places() for tap in statistic.taps(network))
        return tuple(dict.fromkeys(taps))

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns Σ_l s_l a_l [ (1 − c) R_l(μ̄, σ̄²) + c R_l(Σ_i m(y_i)/b, Σ_i v(y_i)/b) ].

        R_l(μ̂, σ̂²) = ‖μ_l − μ̂_l‖ + ‖σ²_l − σ̂²_l‖, once by channel and once by patch.

        μ and σ² are mean and biased variance of the batch, by channel over images and positions, by
        patch over images, channels and the positions in it, or their moving averages; μ̄ and σ̄²
        those of all real images; m(y) and v(y) those within real images of class y, averaged.
        c = `category`, s_1 = `first_layer`, and a_l is 0 for a layer that is left out, else 1.

        Args:
            step: `known` holds `ConvolutionMoments`; `memory` the averages so far.

        Returns:
            At least 0. The mean's part is in units of activations, the variance's in their square.

        Differences:
            The released codes leave a layer's average as it is where the layer is left out; here
            every average moves.

        References:
            Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and
            Statistical Matching (G-VBSM), CVPR 2024, arXiv:2311.17950; Shao et al., Elucidating the
            Design Space of Dataset Condensation (EDC), NeurIPS 2024, arXiv:2404.13733.
        """
        total = step.images.new_zeros(())
        for statistic, share in self._list_places():
            taps = statistic.taps(step.network)
            real = self._average_real(step, statistic, taps)
            kept = draw_kept_layers(step, len(taps), self.drop, SALT, step.images)
            prefix = f"{statistic.patch}."
            total = total + share * self._measure_gap(step, taps, real, kept, prefix)
        return total

    def _list_taps(self, network: Network) -> dict[str, tuple[Tap, ...]]:
        return {f"{s.patch}.": s.taps(network) for s, _ in self._list_places()}

    def _average_real(
        self, step: Step, statistic: ConvolutionMoments, taps: tuple[Tap, ...]
    ) -> dict[str, Float[torch.Tensor, "1 c"]]:
        """Returns the real moments, those of the batch's categories averaged over its images."""
        rows = step.labels if statistic.by_category else step.labels.new_zeros(1)
        real = {
            name: select_moments(step.known[statistic], taps, name, rows).to(step.images)
            for name in ("mean", "var")
        }  # r c
        if not statistic.by_category:
            return real
        shares = self._share_batch(step, real["mean"])
        return {name: shares @ of_images for name, of_images in real.items()}


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"convolution": Convolution()}
