"""BatchNorm regularization with the teacher's running statistics, as in SRe2L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ddbench import hookimpl
from ddbench.errors import IncompatibleError
from ddbench.reductions import moment_taps
from ddbench.roles import Regularizer, Statistic
from ddbench.types import Network, Step, Tap
from ddbench_plugins.summaries import layer_gaps, mixture_moments, stacked_moments


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Distance of the BatchNorm inputs of a whole batch to the teacher's running statistics."""

    version: ClassVar[int] = 1

    norm: Literal["squared", "l2"] = "l2"
    """"l2" (not squared) as in the released code of SRe2L, or "squared"."""
    weighted: bool = False
    """Count images with their weights, or else equally."""
    first_layer: float = 10.0
    """Multiplies the first BatchNorm's part."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        taps = moment_taps(network, "batch_norm")
        for tap in taps:
            if network.module.get_submodule(tap.layer).running_mean is None:
                raise IncompatibleError(
                    "batch_norm needs a teacher that keeps running statistics",
                    f"its layer '{tap.layer}' keeps none",
                    hint="--regularizer class_batch_norm takes them from the data",
                )
        return taps

    def penalty(self, step: Step) -> Float[Tensor, ""]:
        """Σ_l s_l ( ‖μ_l − μ̄_l‖ + ‖σ²_l − σ̄²_l‖ )

        μ and σ² are the mean and biased variance of a channel over the positions and images of the
        batch, whatever their classes; μ̄ and σ̄² are the running statistics of BatchNorm l.

        Args:
            step: The running statistics are read from `network`.

        Returns:
            At least 0. The mean's part is in units of activations, the variance's in their square.

        References:
            Yin et al., Squeeze, Recover and Relabel (SRe2L), NeurIPS 2023, released code; Yin et
            al., Dreaming to Distill (DeepInversion), CVPR 2020.
        """
        taps = self.taps(step.network)
        mean, square, channels = stacked_moments(step.acts, taps)
        layers = [step.network.module.get_submodule(tap.layer) for tap in taps]
        real_mean = torch.cat([layer.running_mean for layer in layers])
        real_var = torch.cat([layer.running_var for layer in layers])
        weights = step.weights.to(mean) if self.weighted else mean.new_ones(len(mean))
        found_mean, found_var = mixture_moments((weights / weights.sum())[None], mean, square)
        return sum(
            layer_gaps(gap, channels, self.norm, self.first_layer)[0]
            for gap in (found_mean - real_mean, found_var - real_var)
        )


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"batch_norm": BatchNorm()}


@hookimpl
def ddbench_aliases() -> Mapping[str, str]:
    return {"regularizer:bn": "batch_norm"}
