"""BatchNorm regularization with the teacher's running statistics, as in SRe2L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import IncompatibleError
from ddbench.api.moments import moment_taps
from ddbench.api.roles import Regularizer
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.regularizers._moving_average import Drop, MomentRegularizer, draw_kept_layers

SALT = 0xB4


class BatchNorm(MomentRegularizer):
    """Distance of the BatchNorm inputs of a whole batch to the teacher's running statistics."""

    drop: Drop = field(default=0.0, metadata={"added": True})
    """Probability that a layer is left out of a step."""

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
        """Returns Σ_l s_l ( ‖μ_l − μ̄_l‖ + ‖σ²_l − σ̄²_l‖ ).

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
        layers = [step.network.module.get_submodule(tap.layer) for tap in taps]
        real = {
            name: torch.cat([getattr(layer, f"running_{name}") for layer in layers])[None]
            for name in ("mean", "var")
        }
        kept = draw_kept_layers(step, len(taps), self.drop, SALT, step.images)
        return self._measure_gap(step, taps, real, kept)


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"batch_norm": BatchNorm()}


@hookimpl
def ddbench_aliases() -> Mapping[str, str]:
    return {"regularizer:bn": "batch_norm"}
