"""Features: what matchers compare. One vector per image, from any layer of a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import unknown
from ddbench.api.roles import Matcher, Statistic
from ddbench.api.tensors import widen
from ddbench.api.types import Activations, DatasetInfo, Network, Step, Tap, Tensors


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
    """Returns the tap whose `features` are [b d].

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


@dataclass(frozen=True, slots=True)
class ClassFeatures:
    """Features of one class of a batch, and of all its real images."""

    cls: int
    synthetic: Float[torch.Tensor, "m d"]
    weights: Float[torch.Tensor, " m"] | None
    """Weights of the synthetic images, not normalised; None for equal ones."""
    real: Float[torch.Tensor, "n d"]

    def shares(self) -> Float[torch.Tensor, " m"]:
        """Returns the weights of the synthetic images, which sum to 1."""
        count = len(self.synthetic)
        if self.weights is None:
            return self.synthetic.new_full((count,), 1 / count)
        return (self.weights / self.weights.sum()).to(self.synthetic)


class FeatureMatcher(Matcher):
    """A matcher that compares features with real ones; a subclass has but a `loss`."""

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.layer),)

    def features(self, step: Step) -> Float[torch.Tensor, "b d"]:
        """Returns the features of the images of a step, which carry the gradient."""
        return step.acts.taps[feature_tap(step.network, self.layer)]["features"]

    def split_by_class(self, step: Step, weighted: bool = True) -> Iterator[ClassFeatures]:
        """Yields the features of each class in a batch, with all real ones of the class.

        Args:
            step: Classes in any order and number.
            weighted: Whether images count by `step.weights`.
        """
        features = self.features(step)
        known = step.known[Features(layer=self.layer)]
        for cls in step.labels.unique().tolist():
            here = step.labels == cls
            yield ClassFeatures(
                cls=cls,
                synthetic=features[here],
                weights=step.weights[here] if weighted else None,
                real=known["features"][known["labels"] == cls].to(features),
            )
