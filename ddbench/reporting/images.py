"""Distilled images: out of the cache, and as files that a person can look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from ddbench.api.record import Record
from ddbench.api.types import Tensors
from ddbench.config.session import open_session
from ddbench.data.description import find_dataset
from ddbench.data.real import open_data
from ddbench.pipeline.recording import check_data
from ddbench.store.cache import Cache


def as_bytes(images: Shaped[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Bytes as they are; floating pixels clamped to [0, 1] and rounded to 255 steps."""
    if images.dtype == torch.uint8:
        return images
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def write_class_folders(
    folder: Path,
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    classes: Sequence[str],
) -> None:
    """One PNG an image, lossless, as `FOLDER/CLASS/0000.png`."""
    from torchvision.io import write_png

    seen: dict[int, int] = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        number = seen.get(label, 0)
        seen[label] = number + 1
        path = folder / classes[label].replace("/", "_")
        path.mkdir(parents=True, exist_ok=True)
        write_png(image, str(path / f"{number:04d}.png"))


def write_grid(
    path: Path,
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    columns: int = 10,
    smallest: int = 32,
) -> None:
    """One picture, a row for each class, its first `columns` images; tiny images are enlarged."""
    from torchvision.io import write_png

    write_png(grid(images, labels, columns, smallest), str(path))


def grid(
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    columns: int = 10,
    smallest: int = 32,
) -> UInt8[Tensor, "3 height width"]:
    """What `write_grid` writes; of images with one channel three equal ones are made."""
    from torchvision.utils import make_grid

    shown = []
    for cls in labels.unique():
        own = images[labels == cls][:columns]
        gap = images.new_zeros(columns - len(own), *images.shape[1:])
        shown.append(torch.cat([own, gap]) if len(own) > 1 or columns > 1 else own)
    width = max(1, int((labels.bincount().max()).clamp(max=columns)))
    rows = torch.cat([row[:width] for row in shown])
    factor = max(1, smallest // images.shape[2])
    rows = rows.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    across = width if width > 1 else columns
    return make_grid(rows, nrow=across, padding=2, pad_value=255)


def stored_images(record: Record, store: Cache, data_root: Path | None) -> Tensors | None:
    """Images [n c h w], labels [n] and weights [n] as they were stored; None if no longer there.

    Of a selection the cache holds rows of the training set: its images are read then.

    Raises:
        DDBenchError: a selection, and its data set is not there or has changed since.
    """
    keys = record.keys.get("recover", [])
    artifact = store.load("recover", keys[0]) if keys else None
    if artifact is None:
        return None
    tensors = artifact.tensors()
    if "images" not in tensors:
        tensors["images"] = _selected(record, tensors["indices"], data_root, store)
    return tensors


def _selected(
    record: Record, indices: Int[Tensor, " n"], data_root: Path | None, store: Cache
) -> Tensor:
    session = open_session("cpu", "fp32", data_root, store.root)
    named = find_dataset(record.dataset, session.registry, record.holdout)
    data = open_data(named, session.ctx, store)
    check_data(record, data.info)
    return data.train_images[indices]
