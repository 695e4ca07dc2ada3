"""BatchNorm regularization with the teacher's running statistics, as in SRe2L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import IncompatibleError
from ddbench.api.moments import moment_taps
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap, Tensors
from ddbench_plugins.regularizers._moving_average import (
    MovingAverage,
    check_share,
    draw_kept_layers,
    measure_gap,
    pool_batch,
)

SALT = 0xB4


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
    average: MovingAverage = field(default=MovingAverage(), metadata={"added": True})
    drop: float = field(default=0.0, metadata={"added": True})
    """Probability that a layer is left out of a step."""

    def __post_init__(self) -> None:
        check_share("drop", self.drop)

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

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Σ_l s_l ( ‖μ_l − μ̄_l‖ + ‖σ²_l − σ̄²_l‖ )

        μ and σ² are the mean and biased variance of a channel over the positions and images of the
        batch, whatever their classes, or their moving averages; μ̄ and σ̄² are the running
        statistics of BatchNorm l. A layer that is left out counts 0.

        Args:
            step: The running statistics are read from `network`.

        Returns:
            At least 0. The mean's part is in units of activations, the variance's in their square.

        Differences:
            The released code of G-VBSM leaves a layer's average as it is where the layer is left
            out; here every average moves.

        References:
            Yin et al., Squeeze, Recover and Relabel (SRe2L), NeurIPS 2023, released code; Yin et
            al., Dreaming to Distill (DeepInversion), CVPR 2020.
        """
        taps = self.taps(step.network)
        found, channels = pool_batch(step, taps, self.weighted)
        layers = [step.network.module.get_submodule(tap.layer) for tap in taps]
        real = {
            "mean": torch.cat([layer.running_mean for layer in layers]),
            "var": torch.cat([layer.running_var for layer in layers]),
        }
        kept = draw_kept_layers(step, len(taps), self.drop, SALT, found["mean"])
        found = self.average.apply(found, step.memory)
        return measure_gap(found, real, channels, self.norm, self.first_layer, kept)

    def remember(self, step: Step) -> Tensors:
        """The moving average of the batch's statistics, if there is one."""
        if not self.average.decay:
            return {}
        found, _ = pool_batch(step, self.taps(step.network), self.weighted)
        return self.average.advance(found, step.memory)


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"batch_norm": BatchNorm()}


@hookimpl
def ddbench_aliases() -> Mapping[str, str]:
    return {"regularizer:bn": "batch_norm"}
