"""Distilled images: out of the cache, and as files that a person can look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int, Shaped, UInt8

from ddbench.api.record import Record
from ddbench.config.session import open_session
from ddbench.data.description import find_dataset
from ddbench.data.real import open_data
from ddbench.pipeline.recording import check_data
from ddbench.pipeline.results import DistilledImages
from ddbench.store.cache import Cache


def to_bytes(images: Shaped[torch.Tensor, "n c h w"]) -> UInt8[torch.Tensor, "n c h w"]:
    """Returns bytes as they are; floating pixels clamped to [0, 1] and rounded to 255 steps."""
    if images.dtype == torch.uint8:
        return images
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def write_class_folders(
    folder: Path,
    images: UInt8[torch.Tensor, "n c h w"],
    labels: Int[torch.Tensor, " n"],
    classes: Sequence[str],
) -> None:
    """Writes one lossless PNG an image, as `FOLDER/CLASS/0000.png`."""
    from torchvision.io import write_png

    written: Counter[int] = Counter()
    for image, label in zip(images, labels.tolist(), strict=True):
        path = folder / classes[label].replace("/", "_")
        path.mkdir(parents=True, exist_ok=True)
        write_png(image, str(path / f"{written[label]:04d}.png"))
        written[label] += 1


def write_grid(
    path: Path,
    images: UInt8[torch.Tensor, "n c h w"],
    labels: Int[torch.Tensor, " n"],
    columns: int = 10,
    smallest: int = 32,
) -> None:
    """Writes what `draw_grid` draws as a PNG file."""
    from torchvision.io import write_png

    write_png(draw_grid(images, labels, columns, smallest), str(path))


def draw_grid(
    images: UInt8[torch.Tensor, "n c h w"],
    labels: Int[torch.Tensor, " n"],
    columns: int = 10,
    smallest: int = 32,
) -> UInt8[torch.Tensor, "3 height width"]:
    """Draws one picture: a row for each class, its first images side by side.

    One image a class makes rows of `columns` classes. Grey images become coloured ones.

    Args:
        images: Any number of each class.
        labels: Their classes.
        columns: Most images of a class, and most columns of the picture.
        smallest: Pixels a side up to which tiny images are enlarged.
    """
    from torchvision.utils import make_grid

    width = min(int(labels.bincount().max()), columns)
    rows = []
    for cls in labels.unique():
        own = images[labels == cls][:width]
        rows += [own, images.new_zeros(width - len(own), *images.shape[1:])]
    factor = max(1, smallest // images.shape[2])
    tiles = torch.cat(rows).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    across = width if width > 1 else columns
    return make_grid(tiles, nrow=across, padding=2, pad_value=255)


def load_images(record: Record, store: Cache, data_root: Path | None) -> DistilledImages | None:
    """Loads the distilled set of a record, its images looked up; None if it is no longer there.

    The cache holds row numbers of the training set for a selection: its images are read then.

    Args:
        record: Of a finished run.
        store: The cache that holds its artifacts.
        data_root: Folder of the data sets.

    Raises:
        DDBenchError: a selection, and its data set is not there or has changed since.
    """
    keys = record.keys.get("recover", [])
    artifact = store.load("recover", keys[0]) if keys else None
    if artifact is None:
        return None
    distilled = DistilledImages.from_tensors(artifact.tensors())
    if distilled.indices is None:
        return distilled
    session = open_session("cpu", "fp32", data_root, store.root)
    named = find_dataset(record.dataset, session.registry, record.holdout)
    data = open_data(named, session.ctx, store)
    check_data(record, data.info)
    return distilled.look_up(data.train_images)
