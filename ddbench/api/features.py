"""Features: what matchers compare. One vector per image, from any layer of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import unknown
from ddbench.api.roles import Statistic
from ddbench.api.tensors import widen
from ddbench.api.types import Activations, DatasetInfo, Network, Tap, Tensors


@dataclass(frozen=True, slots=True)
class PooledFeatures:
    """Per image: the activation averaged over positions, `features`, [b d]."""

    def reduce(self, activation: Float[torch.Tensor, "b ..."]) -> Tensors:
        wide = widen(activation)
        if wide.dim() == 4:
            wide = wide.mean((2, 3))
        elif wide.dim() == 3:  # tokens of a transformer: b positions d
            wide = wide.mean(1)
        return {"features": wide.flatten(1)}


def feature_tap(network: Network, layer: str = "") -> Tap:
    """The tap whose `features` are [b d].

    Args:
        network: The network to look into.
        layer: A dotted module name, whose output is averaged over positions; "" for the input of
            the classifier.

    Raises:
        DDBenchError: the network has no such layer.
    """
    if not layer:
        return Tap(network.classifier, PooledFeatures(), "input")
    names = [name for name, _ in network.module.named_modules() if name]
    if layer not in names:
        raise unknown("layer", layer, names)
    return Tap(layer, PooledFeatures(), "output")


class Features(Statistic):
    """Features of every training image: `features` [n d] and `labels` [n], in the order seen."""

    identity: ClassVar[str] = "ddbench.features:Features"

    layer: str = ""
    """A dotted module name, whose output is averaged over positions; "" for the penultimate."""

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        return {}

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        (tap,) = (t for t in acts.taps if _is_features_of(t, self.layer))
        count = len(state) // 2
        return {
            **state,
            f"features.{count:06d}": acts.taps[tap]["features"].cpu(),
            f"labels.{count:06d}": labels.cpu(),
        }

    def finish(self, state: Tensors) -> Tensors:
        parts = {
            name: [state[key] for key in sorted(state) if key.startswith(f"{name}.")]
            for name in ("features", "labels")
        }
        return {name: torch.cat(chunks) for name, chunks in parts.items()}


def _is_features_of(tap: Tap, layer: str) -> bool:
    if not isinstance(tap.reduction, PooledFeatures):
        return False
    return tap.side == "input" if not layer else (tap.side == "output" and tap.layer == layer)
