"""Results of the stages, as values with fields, and how they lie in an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int, Shaped

from ddbench.api.types import DistilledSet, Tensors

_Kind = TypeVar("_Kind", bound="Result")


@dataclass(frozen=True, slots=True)
class Result:
    """Tensors that a stage makes. Each field lies in the artifact under its own name.

    Nothing is stored for a field that is None; a field that an older artifact lacks has its
    default.
    """

    def to_tensors(self) -> Tensors:
        """Returns what is stored, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls: type[_Kind], tensors: Mapping[str, torch.Tensor]) -> _Kind:
        """Returns what was stored; tensors that are no field are left out.

        Raises:
            TypeError: a tensor without which there is no result is missing.
        """
        names = {field.name for field in fields(cls)}
        return cls(**{name: tensor for name, tensor in tensors.items() if name in names})


@dataclass(frozen=True, slots=True)
class NetworkWeights(Result):
    """Weights and buffers of a teacher or a student, by the names of its `state_dict`."""

    tensors: Mapping[str, torch.Tensor]

    def to_tensors(self) -> Tensors:
        return dict(self.tensors)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> NetworkWeights:
        return cls(tensors)


@dataclass(frozen=True, slots=True)
class LabelledFeatures(Result):
    """The statistic that targets start from: features of all training images, and classes."""

    features: Float[torch.Tensor, "n d"]
    labels: Int[torch.Tensor, " n"]


@dataclass(frozen=True, slots=True)
class ClassAtoms(Result):
    """Atoms of all classes, class by class: one for each image to make."""

    points: Float[torch.Tensor, "n d"]
    weights: Float[torch.Tensor, " n"]
    """Those of a class sum to 1."""


@dataclass(frozen=True, slots=True)
class PreparedPieces(Result):
    """Tensors that a preparation made, in order; they lie in the artifact by their numbers."""

    pieces: tuple[torch.Tensor, ...]

    def to_tensors(self) -> Tensors:
        return {f"{number:06d}": piece for number, piece in enumerate(self.pieces)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> PreparedPieces:
        return cls(tuple(tensors[name] for name in sorted(tensors)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilledImages(Result):
    """A distilled set: images, or rows of the training set until `look_up` reads them."""

    images: Shaped[torch.Tensor, "n c h w"] | None = None
    """uint8 from 0 to 255, or floating pixels, of which an image has those in [0, 1]."""
    indices: Int[torch.Tensor, " n"] | None = None
    """Rows of the training set, where a distiller selects images."""
    labels: Int[torch.Tensor, " n"]
    weights: Float[torch.Tensor, " n"]
    """Those of a class sum to 1."""
    soft_labels: Float[torch.Tensor, "n k"] | None = None
    """Labels that the distiller learned: probabilities or logits."""
    rate: Float[torch.Tensor, ""] | None = None
    """Learning rate that the distiller learned."""

    @property
    def learned_rate(self) -> float | None:
        """The rate as a number."""
        return None if self.rate is None else self.rate.item()

    def look_up(self, real: Shaped[torch.Tensor, "m c h w"]) -> DistilledImages:
        """Returns the set with its images, those of a selection from the training images."""
        return self if self.indices is None else replace(self, images=real[self.indices])

    @property
    def pixels(self) -> Shaped[torch.Tensor, "n c h w"]:
        """The images, once they have been looked up."""
        assert self.images is not None, "the images of a selection are looked up first"
        return self.images

    def as_set(self) -> DistilledSet:
        """Returns the set as evaluators see it, pixels of an image in [0, 1]."""
        scale = 255.0 if self.pixels.dtype == torch.uint8 else 1.0
        pixels = self.pixels.float() / scale
        return DistilledSet(pixels, self.labels, self.weights, self.soft_labels, self.learned_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLabels(Result):
    """Logits of a teacher: of plain images, or of every view that students will be shown."""

    logits: Float[torch.Tensor, "n k"] | None = None
    """Of the plain images."""
    views: Float[torch.Tensor, "e n k"] | None = None
    """Of every epoch's views in the order of the stream, in half precision."""
    rows: Int[torch.Tensor, "e n"] | None = None
    """The image of each view, so that a mismatch can be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentTrial(Result):
    """How a student answered the test images."""

    logits: Float[torch.Tensor, "t k"]
    labels: Int[torch.Tensor, " t"]
    training_loss: Float[torch.Tensor, " e"] | None = None
    """Mean over the updates of every epoch; older artifacts lack it."""
    threads: Int[torch.Tensor, ""] | None = None
    """Threads of torch that trained the student; older artifacts lack it."""
