"""A stored distilled set in the place of distillation: its images, its labels, its classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int

from ddbench.api.distilled_set import PortableSet, hash_tensor, to_unit
from ddbench.api.distiller import Distiller, DistillProblem, Learned
from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews
from ddbench.api.roles import Labeller
from ddbench.api.soft_labels import soft_cross_entropy
from ddbench.api.types import Batch, DatasetInfo
from ddbench.data.whitening import Whitening
from ddbench.store.keys import spell_text


class StoredSet(Distiller):
    """A distiller that hands out the images of a stored set."""

    identity: ClassVar[str] = "ddbench.distilled:StoredSet"

    sha256: str
    """Checksum of the stored tensors; where they lie does not matter."""
    per_class: tuple[int, ...]
    soft_labels: str = field(default="", metadata={"added": True})
    """Checksum of the learned labels that come with the images; "" for none."""
    rate: float | None = field(default=None, metadata={"added": True})
    """Learned rate that comes with the images."""

    @property
    def learns(self) -> frozenset[str]:
        """Names of what comes with the images."""
        learned = {"labels": bool(self.soft_labels), "rate": self.rate is not None}
        return frozenset(name for name, there in learned.items() if there)

    @property
    def exact(self) -> bool:
        """True if floating pixels were stored; they are kept as they are."""
        return _OPEN[self.sha256]["images"].dtype != torch.uint8

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return self.per_class

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        return [torch.arange(len(labels))]

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return 1

    def weights(self, labels: Int[torch.Tensor, " n"]) -> Float[torch.Tensor, " n"]:
        """Returns the stored weights."""
        return _OPEN[self.sha256]["weights"]

    def recover(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> Learned:
        problem.tick()
        images = _OPEN[self.sha256]["images"]
        scale = 1 if self.exact else 255
        normalised = problem.normalise(images[indices].to(problem.device) / scale)
        labels = _OPEN[self.soft_labels]["soft_labels"][indices] if self.soft_labels else None
        return Learned(normalised, labels, self.rate)


class Stored(Labeller):
    """A labeller with the labels that came with the images, one row each."""

    identity: ClassVar[str] = "ddbench.distilled:Stored"

    sha256: str
    """Checksum of the stored labels."""

    @property
    def kept_bytes(self) -> int:
        """Bytes of the labels, besides the classes."""
        kept = _OPEN[self.sha256]["soft_labels"]
        return kept.numel() * kept.element_size()

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns the soft cross-entropy with the stored labels.

        Args:
            student: Logits.
            batch: The images shown.
            teacher: Not read.
        """
        return soft_cross_entropy(student, batch, _OPEN[self.sha256]["soft_labels"])


class Replayed(Labeller):
    """A labeller that shows students stored views again, with a teacher's logits (FKD)."""

    identity: ClassVar[str] = "ddbench.distilled:Replayed"

    sha256: str
    """Checksum of the stored views and their labels."""
    epochs: int
    """Number of stored epochs; a longer training goes through them again."""
    told: Labeller
    """A labeller that asks a teacher about views: its loss is used."""

    @property
    def views(self) -> StoredViews:
        """Views that students are shown."""
        return _VIEWS[self.sha256]

    @property
    def kept_bytes(self) -> int:
        """Bytes of views and labels, besides the classes."""
        return sum(kept.numel() * kept.element_size() for kept in self.views.tensors().values())

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns the loss of `told` for the stored labels of the batch.

        Args:
            student: Logits.
            batch: The images shown, with their stored labels.
            teacher: Not read.
        """
        assert batch.answers is not None, "stored views come with their answers"
        return self.told.loss(student, batch, batch.answers)


_OPEN: dict[str, dict[str, torch.Tensor]] = {}
"""Tensors of the sets that this process has opened, by checksum."""
_VIEWS: dict[str, StoredViews] = {}
"""Stored views of these sets, by checksum."""


def open_stored_set(
    distilled: PortableSet, whitening: Whitening | None = None
) -> tuple[StoredSet, Stored | None]:
    """Opens a set: what hands out its images and, if it has some of its own, its labels.

    Args:
        distilled: In any space of pixels that can be undone; its card names the classes.
        whitening: The whitening of whitened images, which is undone; students whiten them again.

    Raises:
        DDBenchError: nobody said what space the images are in.
    """
    if distilled.pixels == "unknown":
        raise DDBenchError(
            "nobody said what the numbers of these images are",
            "normalised by mean and deviation, whitened (ZCA), or pixels from 0 to 1",
            hint="--pixels normalised, whitened or unit",
        )
    ordered = distilled.sort_by_class()
    images, digest = ordered.images, _hash_set(distilled)
    if ordered.pixels == "normalised":
        images = to_unit(images, ordered.mean, ordered.std)
    if ordered.pixels == "whitened":
        assert whitening is not None, "whitened images need the whitening that is to be undone"
        images = whitening.undo(images)
    weights = ordered.weights_or_equal()
    _OPEN[digest] = {"images": images, "weights": weights}
    classes = distilled.card["classes"]
    counts = torch.bincount(ordered.labels, minlength=len(classes))
    stored = StoredSet(digest, tuple(counts.tolist()))
    if ordered.soft_labels is None:
        return stored, None
    labels = hash_tensor(ordered.soft_labels)
    _OPEN[labels] = {"soft_labels": ordered.soft_labels.float()}
    return stored, Stored(labels)


def open_stored_views(distilled: PortableSet, told: Labeller) -> Replayed:
    """Opens the stored views of a set: a labeller that shows them, with their labels.

    Args:
        distilled: A set with stored views; its card names the classes.
        told: The labeller whose loss students have on a teacher's logits.

    Raises:
        DDBenchError: the labels are of another number of classes, or `told` asks no teacher about
            views.
    """
    views = distilled.sort_by_class().views
    assert views is not None
    classes = len(distilled.card["classes"])
    if views.logits.shape[2] != classes:
        raise DDBenchError(
            f"the stored labels are of {views.logits.shape[2]} classes, the set has {classes}",
            "a label would mean another class",
            hint="--labels hard leaves them out",
        )
    if told.asks != "views":
        raise DDBenchError(
            f"labels that were stored for views cannot be told as '{type(told).__name__}' tells",
            "expected: a labeller that asks a teacher about every view, such as FKD",
            hint="--labels hard leaves them out",
        )
    whole = hashlib.sha256(spell_text(views.batches).encode())
    for name, tensor in sorted(views.tensors().items()):
        whole.update(f"{name} {hash_tensor(tensor)}".encode())
    digest = whole.hexdigest()
    _VIEWS[digest] = views
    return Replayed(digest, len(views.logits), told)


def _hash_set(distilled: PortableSet) -> str:
    """Returns the sha-256 of the tensors as ddbench's own set holds them, and of their space."""
    from safetensors.torch import save

    tensors = {
        "images": distilled.images.contiguous(),
        "labels": distilled.labels.contiguous(),
        "weights": distilled.weights_or_equal().contiguous(),
    }
    whole = hashlib.sha256(save(tensors))
    if distilled.pixels == "normalised":
        whole.update(spell_text([distilled.mean, distilled.std]).encode())
    if distilled.pixels == "whitened":
        whole.update(spell_text(["whitened", distilled.card.get("zca")]).encode())
    return whole.hexdigest()


def check_classes(card: Mapping[str, Any], info: DatasetInfo) -> None:
    """Checks the order of the classes, without which an index means nothing, and the shape.

    Raises:
        DDBenchError: the set was made for other classes, another order or another shape.
    """
    if tuple(card["classes"]) != info.classes:
        pairs = enumerate(zip(card["classes"], info.classes, strict=False))
        unlike = [f"index {i}: {a} in the set, {b} in the data" for i, (a, b) in pairs if a != b]
        counts = f"{len(card['classes'])} classes in the set, {info.num_classes} in the data"
        problem = f"the classes of the distilled set are not those of {info.name}"
        hint = "evaluate it on the data set that it was made from"
        raise DDBenchError(problem, (unlike or [counts])[0], hint=hint)
    shape = card.get("shape")
    if shape is not None and tuple(shape) != info.shape:
        hint = "name the resolution: --dataset NAME@PIXELS"
        if shape[0] != info.shape[0]:
            hint = "distilled images need the data's channels, channels first: convert them"
        problem = f"the distilled images are {tuple(shape)}, those of {info.name} {info.shape}"
        raise DDBenchError(problem, hint=hint)
