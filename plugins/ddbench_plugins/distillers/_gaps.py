"""Gaps between real and synthetic images of one class, as a network with random weights sees both.

A gap is an option of a distiller that has options of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float

from ddbench.api.errors import IncompatibleError
from ddbench.api.features import feature_tap
from ddbench.api.options import Options
from ddbench.api.tensors import widen
from ddbench.api.types import Network, Tap, Tensors
from ddbench_plugins.distances.mmd import polynomial_mmd_squared, rbf_mmd_squared

_SMALLEST = 1e-12
Seen = Mapping[Tap, Tensors]
"""Results of taps for the images of one class, a row an image."""


class Gap(Options):
    """A distance of the synthetic images of a class to its real ones."""

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """Returns what `measure` reads of a forward pass: features by default."""
        return (feature_tap(network),)

    @abstractmethod
    def measure(self, network: Network, real: Seen, made: Seen) -> Float[torch.Tensor, ""]:
        """Returns the gap, 0 for equal batches; differentiable in `made`."""


class MeanGap(Gap):
    """Squared gap between mean embeddings: the MMD of a linear kernel.

    References:
        Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023.
    """

    identity: ClassVar[str] = "ddbench_plugins.gaps:MeanGap"

    def measure(self, network: Network, real: Seen, made: Seen) -> Float[torch.Tensor, ""]:
        """Returns ‖ 1/n Σ_i f(x_i) − 1/m Σ_j f(s_j) ‖², summed over the d dimensions of f."""
        tap = feature_tap(network)
        return measure_mean_gap(real[tap]["features"], made[tap]["features"])


class KernelGap(Gap):
    """MMD² of embeddings: gaps between more moments than the first, which is `MeanGap`'s.

    References:
        Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, AAAI 2024.
    """

    identity: ClassVar[str] = "ddbench_plugins.gaps:KernelGap"

    kernel: Literal["polynomial", "rbf"] = field(default="rbf", metadata={"added": True})
    """"rbf": five Gaussians whose widths follow the points, so that a common scale of the
    embeddings does not matter: all moments. "polynomial": (⟨u, v⟩ + 1)², the first two."""

    def measure(self, network: Network, real: Seen, made: Seen) -> Float[torch.Tensor, ""]:
        """Returns mean K_ss − 2 mean K_sx + mean K_xx ≥ 0, a point paired with itself included."""
        tap = feature_tap(network)
        distance = rbf_mmd_squared if self.kernel == "rbf" else polynomial_mmd_squared
        return distance(made[tap]["features"], real[tap]["features"])


@dataclass(frozen=True, slots=True)
class Attention:
    """Where an image's activation is strong: `attention` [b h·w], of norm 1.

    A = Σ_c |f_c|^p, divided by its 2-norm: neither the scale of f nor the order of its channels
    matters. An activation that is 0 everywhere gives 0.
    """

    power: float

    def reduce(self, activation: Float[torch.Tensor, "b c h w"]) -> Tensors:
        size = widen(activation).abs()
        # Whatever the power, nothing overflows; a factor changes neither the value nor the slope.
        size = size / size.detach().amax((1, 2, 3), keepdim=True).clamp_min(_SMALLEST)
        return {"attention": torch.nn.functional.normalize(size.pow(self.power).sum(1).flatten(1))}


class AttentionGap(Gap):
    """Squared gaps between mean attention maps of all blocks but the last, and mean embeddings.

    References:
        Sajedi et al., DataDAM: Efficient Dataset Distillation with Attention Matching, ICCV 2023.
    """

    identity: ClassVar[str] = "ddbench_plugins.gaps:AttentionGap"

    power: Annotated[float, Ge(1)] = 4.0
    """Exponent p of the activations."""
    embedding: Annotated[float, Ge(0)] = 0.01
    """Weight λ of the gap between mean embeddings."""
    scale: Annotated[float, Ge(0)] = 100.0
    """Factor of the whole loss; goes with the learning rate."""

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """Returns attention maps and features.

        Raises:
            IncompatibleError: the network has fewer than two ReLU layers.
        """
        return (*self._tap_maps(network), feature_tap(network))

    def _tap_maps(self, network: Network) -> tuple[Tap, ...]:
        layers = [n for n, m in network.module.named_modules() if isinstance(m, torch.nn.ReLU)]
        if len(layers) < 2:
            raise IncompatibleError(
                "attention maps are taken behind all ReLU layers but the last",
                f"this network has {len(layers)}",
                hint="--teacher convnet3",
            )
        return tuple(Tap(layer, Attention(self.power), "output") for layer in layers[:-1])

    def measure(self, network: Network, real: Seen, made: Seen) -> Float[torch.Tensor, ""]:
        """Returns scale · ( Σ_l ‖ mean A_l(x) − mean A_l(s) ‖² + λ ‖ mean f(x) − mean f(s) ‖² )."""
        tap = feature_tap(network)
        total = self.embedding * measure_mean_gap(real[tap]["features"], made[tap]["features"])
        for place in self._tap_maps(network):
            total = total + measure_mean_gap(real[place]["attention"], made[place]["attention"])
        return self.scale * total


def measure_mean_gap(
    real: Float[torch.Tensor, "n d"], made: Float[torch.Tensor, "m d"]
) -> Float[torch.Tensor, ""]:
    """Returns the squared distance of two means."""
    return (real.mean(0) - made.mean(0)).square().sum()
