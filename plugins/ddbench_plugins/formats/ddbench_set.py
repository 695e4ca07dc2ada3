"""ddbench's own distilled set: safetensors, and a card that says all that evaluation needs.

    FOLDER/card.json             data set, classes, space of the pixels, method, networks, labels
    FOLDER/tensors.safetensors   images, labels, weights; learned labels and stored views

Never pickle. `ddbench eval FOLDER` needs nothing else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddbench import hookimpl
from ddbench.api.distilled_set import SAYS, PortableSet
from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews
from ddbench.api.roles import SetFormat

FORMAT = 1
CARD, TENSORS = "card.json", "tensors.safetensors"
_NEEDED = frozenset({"classes", "dataset", "method"})
"""Fields without which images mean nothing."""
_VIEWS = "views."
_OWN = (
    "format",
    "pixels",
    "pixel_space",
    "mean",
    "std",
    "rate",
    "batches_of_views",
    "image_bytes",
    "label_bytes",
    "sha256",
    "created",
)
"""Fields of the card that are the format's, not the set's."""


class DDBenchSet(SetFormat):
    """ddbench's own: safetensors and a card; holds everything, exactly."""

    layout = f"a folder with {CARD} and {TENSORS}"

    def detect(self, path: Path) -> bool:
        return path.is_dir() and ((path / CARD).is_file() or (path / TENSORS).is_file())

    def read(self, path: Path) -> PortableSet:
        card, tensors = _read_files(path)
        missing = _NEEDED - set(card)
        if missing:
            raise DDBenchError(
                f"{path / CARD} lacks {', '.join(sorted(missing))}",
                hint="is it a folder of the cache? export the run: `ddbench export RUN FOLDER`",
            )
        if _hash_file(path / TENSORS) != card.get("sha256"):
            raise _make_error(f"{path / TENSORS} is damaged", "its checksum is not the card's")
        lacking = {"images", "labels"} - set(tensors)
        if lacking:
            raise _make_error(f"{path / TENSORS} lacks {', '.join(sorted(lacking))}")
        images = tensors["images"]
        return PortableSet(
            images=images,
            labels=tensors["labels"],
            weights=tensors.get("weights"),
            pixels=card.get("pixels", "bytes" if images.dtype == torch.uint8 else "unit"),
            mean=tuple(card.get("mean", ())),
            std=tuple(card.get("std", ())),
            soft_labels=tensors.get("soft_labels"),
            rate=card.get("rate"),
            views=_read_views(tensors, card),
            card={name: value for name, value in card.items() if name not in _OWN},
        )

    def write(self, distilled: PortableSet, path: Path) -> None:
        from safetensors.torch import save_file

        missing = _NEEDED - set(distilled.card)
        if missing:
            raise DDBenchError(
                f"the set does not say its {', '.join(sorted(missing))}",
                "ddbench's own format has to",
                hint="`ddbench import PATH --dataset NAME` writes it",
            )
        views = distilled.views
        tensors = {"images": distilled.images, "labels": distilled.labels}
        if distilled.weights is not None:
            tensors["weights"] = distilled.weights
        labels = {} if distilled.soft_labels is None else {"soft_labels": distilled.soft_labels}
        if views is not None:
            labels |= {_VIEWS + name: tensor for name, tensor in views.tensors().items()}
        path.mkdir(parents=True)
        solid = {name: tensor.contiguous() for name, tensor in {**tensors, **labels}.items()}
        save_file(solid, path / TENSORS)
        card = {
            **distilled.card,
            "format": FORMAT,
            "pixels": distilled.pixels,
            "pixel_space": SAYS[distilled.pixels],
            "mean": list(distilled.mean),
            "std": list(distilled.std),
            "rate": distilled.rate,
            "image_bytes": _count_bytes(distilled.images),
            "label_bytes": 8 * len(distilled.labels) + sum(map(_count_bytes, labels.values())),
            "sha256": _hash_file(path / TENSORS),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if views is not None:
            card["batches_of_views"] = list(views.batches)
        (path / CARD).write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")


def _make_error(*facts: str) -> DDBenchError:
    return DDBenchError(*facts, hint="export the run again")


def _read_files(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CARD, TENSORS):
        if not (path / name).is_file():
            raise DDBenchError(
                f"{path} is not a distilled set: it has no {name}",
                f"expected: {DDBenchSet.layout}",
                hint="`ddbench export RUN FOLDER` writes one",
            )
    try:
        card = json.loads((path / CARD).read_text())
        if not isinstance(card, dict):
            raise ValueError(f"{CARD} holds no table")
        return card, load_file(path / TENSORS)
    except (ValueError, OSError, SafetensorError) as fault:
        raise _make_error(f"{path} cannot be read", str(fault).splitlines()[0]) from fault


def _read_views(tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> StoredViews | None:
    stored: dict[str, Any] = {
        name.removeprefix(_VIEWS): value
        for name, value in tensors.items()
        if name.startswith(_VIEWS)
    }
    return StoredViews(**stored, batches=tuple(card["batches_of_views"])) if stored else None


def _count_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@hookimpl
def ddbench_formats() -> Mapping[str, SetFormat]:
    return {"ddbench": DDBenchSet()}
