"""Regularization with the statistics of convolutions and patches, as in G-VBSM and EDC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap, Tensors
from ddbench_plugins.regularizers._convolution_moments import ConvolutionMoments
from ddbench_plugins.regularizers._moments import select_moments
from ddbench_plugins.regularizers._moving_average import (
    MovingAverage,
    check_share,
    draw_kept_layers,
    measure_gap,
    pool_batch,
    share_batch,
)

SALT = 0xC04


@dataclass(frozen=True, slots=True)
class Convolution:
    """Distance of the inputs of convolutions to those of real images, by channel and by patch."""

    version: ClassVar[int] = 1

    norm: Literal["squared", "l2"] = "l2"
    """"l2" (not squared) as in the released code, or "squared"."""
    weighted: bool = False
    """Count images with their weights, or else equally."""
    first_layer: float = 10.0
    """Multiplies the first convolution's part."""
    patch: int = 4
    """Positions along each side of a patch; 0 for no patches."""
    category: float = 0.0
    """Share of the weight that goes to the categories of a batch's images (EDC); the rest goes to
    the real images as a whole."""
    average: MovingAverage = field(default=MovingAverage())
    drop: float = 0.0
    """Probability that a layer is left out of a step."""

    def __post_init__(self) -> None:
        check_share("drop", self.drop)
        check_share("category", self.category, below=False)
        if self.patch < 0:
            raise DDBenchError(f"patch is {self.patch}", "expected: 0 or more")

    def _list_places(self) -> Iterator[tuple[ConvolutionMoments, float]]:
        """What is compared, and its share: channels and patches, whole and by category."""
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
        """Σ_l s_l a_l [ (1 − c) R_l(μ̄, σ̄²) + c R_l(Σ_i m(y_i)/b, Σ_i v(y_i)/b) ],
        R_l = ‖μ_l − μ̂_l‖ + ‖σ²_l − σ̂²_l‖, once by channel and once by patch

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
            found, channels = pool_batch(step, taps, self.weighted)
            names = {name: f"{statistic.patch}.{name}" for name in found}
            renamed = self.average.apply({names[n]: v for n, v in found.items()}, step.memory)
            kept = draw_kept_layers(step, len(taps), self.drop, SALT, found["mean"])
            gap = measure_gap(
                {name: renamed[names[name]] for name in found},
                self._average_real(step, statistic, taps),
                channels,
                self.norm,
                self.first_layer,
                kept,
            )
            total = total + share * gap
        return total

    def remember(self, step: Step) -> Tensors:
        """Moving averages of the batch's statistics, by patch (0 for channels)."""
        current: Tensors = {}
        for statistic, _ in self._list_places():
            found, _ = pool_batch(step, statistic.taps(step.network), self.weighted)
            current |= {f"{statistic.patch}.{name}": value for name, value in found.items()}
        return self.average.advance(current, step.memory)

    def _average_real(
        self, step: Step, statistic: ConvolutionMoments, taps: tuple[Tap, ...]
    ) -> dict[str, Float[torch.Tensor, "1 c"]]:
        rows = step.labels if statistic.by_category else step.labels.new_zeros(1)
        real = {
            name: select_moments(step.known[statistic], taps, name, rows).to(step.images)
            for name in ("mean", "var")
        }  # r c
        if not statistic.by_category:
            return real
        shares = share_batch(step, self.weighted, real["mean"])
        return {name: shares @ of_images for name, of_images in real.items()}


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"convolution": Convolution()}
