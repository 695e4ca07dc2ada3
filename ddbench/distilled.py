"""A distilled set on its own: safetensors and a card that says all that evaluation needs.

    FOLDER/card.json             data set, classes, pixel space, method, networks, labels, bytes
    FOLDER/tensors.safetensors   images (uint8, or float32 where a method asks), labels, weights

Never pickle. `ddbench eval FOLDER` needs nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ddbench.cache import write_whole
from ddbench.errors import DDBenchError
from ddbench.records import now
from ddbench.roles import Problem
from ddbench.types import DatasetInfo

FORMAT = 1
_CARD, _TENSORS = "card.json", "tensors.safetensors"
_SPACE = {torch.uint8: "uint8 0..255", torch.float32: "float32, white 1, unclamped"}


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A distiller that hands out the images of a stored set."""

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    makes: ClassVar[Literal["pixels", "indices"]] = "pixels"

    sha256: str
    """Of the stored tensors; where they lie does not matter."""
    per_class: tuple[int, ...]

    @property
    def exact(self) -> bool:
        """Whether floating pixels were stored; they are kept as they are."""
        return _OPEN[self.sha256]["images"].dtype != torch.uint8

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return self.per_class

    def batches(self, labels: Int[Tensor, " n"]) -> list[Int[Tensor, " b"]]:
        return [torch.arange(len(labels))]

    def iterations_of(self, problem: Problem, indices: Int[Tensor, " b"]) -> int:
        return 1

    def weights(self, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Those that were stored."""
        return _OPEN[self.sha256]["weights"]

    def recover(self, problem: Problem, indices: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        problem.tick()
        images = _OPEN[self.sha256]["images"]
        scale = 1 if self.exact else 255
        return problem.normalise(images[indices].to(problem.device) / scale)


_OPEN: dict[str, dict[str, Tensor]] = {}
"""Tensors of the sets that this process has opened, by checksum."""


def write_distilled(
    folder: Path,
    images: Shaped[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    weights: Float[Tensor, " n"],
    card: dict[str, Any],
) -> Path:
    """Writes a distilled set.

    Raises:
        DDBenchError: the folder holds something already.
    """
    from safetensors.torch import save_file

    if folder.exists() and any(folder.iterdir()):
        raise DDBenchError(f"{folder} is not empty", hint="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "images": images.contiguous(),
            "labels": labels.contiguous(),
            "weights": weights.contiguous(),
        },
        folder / _TENSORS,
    )
    full = {
        "format": FORMAT,
        "pixel_space": f"{_SPACE[images.dtype]}, channels first, unnormalised",
        "image_bytes": images.numel() * images.element_size(),
        "label_bytes": 8 * labels.numel(),
        "sha256": _digest(folder / _TENSORS),
        "created": now(),
        **card,
    }
    write_whole(folder / _CARD, json.dumps(full, indent=1, sort_keys=True) + "\n")
    return folder


def read_distilled(folder: Path) -> tuple[StoredSet, dict[str, Any]]:
    """A stored set and its card, checked.

    Raises:
        DDBenchError: not a distilled set, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / _CARD).is_file() or not (folder / _TENSORS).is_file():
        raise DDBenchError(
            f"{folder} is not a distilled set",
            f"expected: a folder with {_CARD} and {_TENSORS}",
            hint="`ddbench export RUN FOLDER` writes one",
        )
    try:
        card = json.loads((folder / _CARD).read_text())
        tensors = load_file(folder / _TENSORS)
    except (ValueError, OSError, SafetensorError) as fault:
        raise DDBenchError(
            f"{folder} cannot be read", str(fault).splitlines()[0], hint="export the run again"
        ) from fault
    missing = {"classes", "dataset", "method", "teacher", "student", "labels"} - set(card)
    if missing:
        raise DDBenchError(
            f"{folder / _CARD} lacks {', '.join(sorted(missing))}",
            hint="is it a folder of the cache? export the run: `ddbench export RUN FOLDER`",
        )
    digest = _digest(folder / _TENSORS)
    if digest != card.get("sha256"):
        raise DDBenchError(
            f"{folder / _TENSORS} is damaged", "its checksum is not the card's",
            hint="export the run again",
        )  # fmt: skip
    order = torch.argsort(tensors["labels"], stable=True)
    _OPEN[digest] = {name: tensor[order] for name, tensor in tensors.items()}
    counts = torch.bincount(tensors["labels"], minlength=len(card["classes"]))
    return StoredSet(digest, tuple(counts.tolist())), card


def check_classes(card: dict[str, Any], info: DatasetInfo) -> None:
    """An index means nothing without the order of the classes.

    Raises:
        DDBenchError: the set was made for other classes, another order or another shape.
    """
    if tuple(card["classes"]) != info.classes:
        first = next(
            (
                f"index {i}: {a} in the set, {b} in the data"
                for i, (a, b) in enumerate(zip(card["classes"], info.classes, strict=False))
                if a != b
            ),
            f"{len(card['classes'])} classes in the set, {info.num_classes} in the data",
        )
        raise DDBenchError(
            f"the classes of the distilled set are not those of {info.name}", first,
            hint="evaluate it on the data set that it was made from",
        )  # fmt: skip
    shape = card.get("shape")
    if shape is not None and tuple(shape) != info.shape:
        raise DDBenchError(
            f"the distilled images are {tuple(shape)}, those of {info.name} {info.shape}",
            hint="name the resolution: --dataset NAME@PIXELS",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
