"""From a stored image to uint8 tensors of one resolution: the only place that decodes or scales."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int, Integer, UInt8

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo

if TYPE_CHECKING:  # PIL is loaded when the first image is
    from PIL.Image import Image

Chunk: TypeAlias = 'tuple[UInt8[torch.Tensor, "b c h w"], Int[torch.Tensor, " b"]]'
Arrays: TypeAlias = tuple[UInt8[np.ndarray, "_ h w"], Integer[np.ndarray, " _"]]
"""Grey images and their classes."""

CHUNK = 256
"""Images decoded at a time."""
DRAFT = 2
"""A JPEG may be decoded at a fraction of its size that is still so many times the wanted one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How an image becomes a square of `resolution`."""

    resolution: int
    margin: float = 1.0
    """The shorter side is scaled to so many times the resolution before the centre is cut out."""
    whole: int = 0
    """A square image no larger than this was cut out before, and is scaled without a margin."""


def fit(image: Image, frame: Frame) -> Image:
    """Makes an image square: a small square one is scaled whole, of others the centre is cut out.

    An image that keeps its whole shorter side is shrunk with a box filter (each pixel the mean of
    what it covers); with a margin, and to enlarge, the filter is bilinear and antialiased, as in
    torchvision's Resize(256), CenterCrop(224).
    """
    from PIL.Image import Resampling

    shorter = min(image.size)
    square = image.width == image.height
    margin = 1.0 if square and shorter <= frame.whole else frame.margin
    side = round(frame.resolution * margin)
    if shorter != side:
        shrunk_whole = margin == 1.0 and side < shorter
        how = Resampling.BOX if shrunk_whole else Resampling.BILINEAR
        width, height = (int(side * length / shorter) for length in image.size)
        image = image.resize((width, height), how)
    left = round((image.width - frame.resolution) / 2)
    top = round((image.height - frame.resolution) / 2)
    return image.crop((left, top, left + frame.resolution, top + frame.resolution))


def decode(path: Path, name: str, frame: Frame) -> UInt8[np.ndarray, "3 h w"]:
    """Reads one image file as RGB.

    Args:
        path: The file.
        name: How an error calls it.
        frame: The square to make of it.

    Raises:
        DDBenchError: the file is damaged, or holds more than 8 bits a channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise DDBenchError(
                    f"image '{name}' has pixels of mode {image.mode}",
                    "expected: 8 bits a channel",
                    hint="convert the images to 8 bits",
                )
            enough = DRAFT * round(frame.resolution * frame.margin)
            image.draft("RGB", (enough, enough))
            square = fit(image.convert("RGB"), frame)
    except DDBenchError:
        raise
    except Exception as fault:  # PIL raises many kinds for damaged files
        raise DDBenchError(
            f"cannot decode image '{name}'",
            f"{type(fault).__name__}: {fault}",
            hint="remove or replace the file",
        ) from fault
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))  # h w c -> c h w


def decode_all(files: Iterable[tuple[Path, str, int]], frame: Frame) -> Iterator[Chunk]:
    """Yields images of files in chunks, in the order given.

    Args:
        files: Path, name for errors, and class index of each image.
        frame: The square to make of it.
    """
    from concurrent.futures import ThreadPoolExecutor

    rest = iter(files)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while group := list(itertools.islice(rest, CHUNK)):
            images = list(pool.map(lambda file: decode(file[0], file[1], frame), group))
            yield torch.from_numpy(np.stack(images)), torch.tensor([file[2] for file in group])


def scale_all(
    images: UInt8[np.ndarray, "n h w ..."], labels: Integer[np.ndarray, " n"], resolution: int
) -> Iterator[Chunk]:
    """Yields images that are in memory, grey [n h w] or colour [n h w c], in chunks."""
    from PIL import Image

    frame = Frame(resolution)
    for start in range(0, len(images), CHUNK):
        rows = images[start : start + CHUNK]
        if rows.shape[1] != resolution:
            rows = np.stack([np.asarray(fit(Image.fromarray(row), frame)) for row in rows])
        pixels = torch.from_numpy(rows.copy())
        pixels = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
        yield pixels.contiguous(), torch.from_numpy(labels[start : start + CHUNK].astype(np.int64))


def name_at(name: str, resolution: int, own: int) -> str:
    """Returns `imagenette` for its own resolution or 0, `imagenette@64` for another."""
    return name if resolution in (0, own) else f"{name}@{resolution}"


def describe_arrays(train: Arrays, test: Arrays, **known: Any) -> DatasetInfo:
    """Describes grey images that are in memory: counts, and sha-256 of all pixels and labels.

    Args:
        train: Images and labels to train with.
        test: Images and labels to test on.
        known: The other fields of the description.
    """
    digest = hashlib.sha256()
    for array in (*train, *test):
        digest.update(array.data)
    train_counts, test_counts = (
        tuple(np.bincount(labels, minlength=len(known["classes"])).tolist())
        for _, labels in (train, test)
    )
    return DatasetInfo(
        train_counts=train_counts,
        test_counts=test_counts,
        fingerprint=digest.hexdigest(),
        **known,
    )


def compare_counts(
    title: str, classes: Iterable[str], counts: Iterable[int], expected: Iterable[int]
) -> list[str]:
    """Returns a line for each class that has another number of images than expected.

    Args:
        title: "training" or "test".
        classes: Names of the classes.
        counts: Images of each class.
        expected: The same as published.
    """
    return [
        f"class '{name}' has {count} {title} images, expected {published}"
        for name, count, published in zip(classes, counts, expected, strict=True)
        if count != published
    ]


def find_folder(root: Path | None, places: Iterable[str], entries: Sequence[str]) -> Path | None:
    """Returns the first place under the data root that holds all entries; None without one."""
    folders = () if root is None else (root / place for place in places)
    return next((f for f in folders if all((f / entry).exists() for entry in entries)), None)


def explain_missing(name: str, root: Path | None, layout: str, how: str = "") -> DDBenchError:
    """Returns the error for data that is not there.

    Args:
        name: The data set.
        root: The data root, where one was given.
        layout: What is looked for under it.
        how: Where it is to be had.
    """
    where = "no data root was given" if root is None else f"not found under {root}"
    facts = [where, f"expected: {layout}", *([f"to get it: {how}"] if how else [])]
    return DDBenchError(
        f"data set '{name}' needs its images",
        *facts,
        hint="--data-root DIR, or DDBENCH_DATA=DIR in the environment",
    )


def fetch(name: str, download: Callable[[], object]) -> None:
    """Runs a download of torchvision's.

    Raises:
        DDBenchError: it did not succeed.
    """
    try:
        download()
    except Exception as fault:  # no network, no space, a changed address, a wrong checksum
        raise DDBenchError(
            f"could not download data set '{name}'",
            f"{type(fault).__name__}: {fault}",
            hint="try again with network access, or put the files there by hand",
        ) from fault
