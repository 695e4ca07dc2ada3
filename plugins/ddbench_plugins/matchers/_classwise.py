"""What matchers share that compare the images of a batch class by class with the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float

from ddbench.api.features import Features
from ddbench.api.types import Step
from ddbench_plugins.matchers._atoms import read_features


@dataclass(frozen=True, slots=True)
class ClassFeatures:
    """One class of a batch, and its real counterpart."""

    synthetic: Float[torch.Tensor, "m d"]
    weights: Float[torch.Tensor, " m"] | None
    """Of the synthetic images, not normalised; None for equal ones."""
    real: Float[torch.Tensor, "n d"]


def split_by_class(step: Step, layer: str, weighted: bool) -> Iterator[ClassFeatures]:
    """The classes of a batch, in any order and number, with all real features of each.

    Args:
        step: `known[Features(layer)]` holds `features` and `labels`, on any device.
        layer: A dotted module name; "" for the classifier's input.
        weighted: Whether images count by `step.weights`.
    """
    features = read_features(step, layer)
    known = step.known[Features(layer=layer)]
    for cls in step.labels.unique().tolist():
        here = step.labels == cls
        yield ClassFeatures(
            synthetic=features[here],
            weights=step.weights[here] if weighted else None,
            real=known["features"][known["labels"] == cls].to(features),
        )
