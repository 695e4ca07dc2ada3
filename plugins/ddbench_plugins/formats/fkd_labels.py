"""FKD's stored labels: `epoch_E/batch_B.tar`, what a teacher said about every view."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.errors import DDBenchError
from ddbench.portable import StoredViews
from ddbench_plugins.formats.safe_load import load, tensor

_EPOCH, _BATCH = re.compile(r"epoch_(\d+)"), re.compile(r"batch_(\d+)\.tar")


def has_labels(path: Path) -> bool:
    """Whether a folder holds epochs of stored labels."""
    return (path / "epoch_0").is_dir()


def read_labels(path: Path, count: int) -> StoredViews:
    """All epochs, the rows of each in the order of its batches.

    Args:
        path: The folder of the epochs.
        count: Images of the set.

    Raises:
        DDBenchError: an epoch or batch is missing, damaged or unsafe, or of another count.
    """
    epochs = [_batches(folder) for folder in _in_order(path, _EPOCH, "epoch")]
    size = len(epochs[0][0][0])
    for number, batches in enumerate(epochs):
        rows = sum(len(batch[0]) for batch in batches)
        whole = all(len(batch[0]) == size for batch in batches[:-1])
        if rows != count or not whole or len(batches) != len(epochs[0]):
            raise DDBenchError(
                f"{path}: epoch {number} labels {rows} images in {len(batches)} batches",
                f"expected: {count} images in batches of {size}",
                hint="the labels belong to another set, or some of their files are missing",
            )

    def joined(place: int) -> Tensor | None:
        parts = [[batch[place] for batch in batches] for batches in epochs]
        if all(part is None for row in parts for part in row):
            return None
        return torch.stack([torch.cat(row) for row in parts])

    try:
        crops, flips, partners, shares, boxes, logits = map(joined, range(6))
    except (TypeError, RuntimeError) as fault:  # some batches mixed and some not, other sizes
        raise _misshapen(path, "batches differ in what they hold") from fault
    assert crops is not None and flips is not None and logits is not None  # noqa: PT018
    return StoredViews(
        crops=crops, flips=flips, partners=partners, shares=shares, logits=logits, batch_size=size,
        boxes=None if boxes is None else boxes.unflatten(1, (-1, 4)),
    )  # fmt: skip


def write_labels(path: Path, views: StoredViews) -> None:
    """One file a batch, a list as the released codes read it: crops, flips, partners, share, box,
    logits."""
    for epoch in range(len(views.logits)):
        folder = path / f"epoch_{epoch}"
        folder.mkdir(parents=True)
        parts = views.logits[epoch].split(views.batch_size)
        for number in range(len(parts)):
            rows = slice(number * views.batch_size, (number + 1) * views.batch_size)
            batch = [
                views.crops[epoch, rows].clone(),
                views.flips[epoch, rows].clone(),
                None if views.partners is None else views.partners[epoch, rows].clone(),
                None if views.shares is None else views.shares[epoch, number].item(),
                None if views.boxes is None else views.boxes[epoch, number].tolist(),
                parts[number].clone(),
            ]
            torch.save(batch, folder / f"batch_{number}.tar")


def _batches(folder: Path) -> list[list[Any]]:
    return [_batch(file) for file in _in_order(folder, _BATCH, "batch")]


def _batch(file: Path) -> list[Any]:
    """Crops, flips, partners, share, box and logits of a batch, as tensors; share and box too."""
    found = load(file)
    if not isinstance(found, (list, tuple)) or len(found) < 6:
        raise _misshapen(file, f"a {type(found).__name__}")
    crops, flips, partners, share, box = found[:5]
    try:
        read = [
            tensor(torch.as_tensor(crops), file, "crops").float(),
            torch.as_tensor(flips).bool(),
            None if partners is None else torch.as_tensor(partners).long(),
            None if share is None else torch.tensor([float(share)], dtype=torch.float64),
            None if box is None else torch.tensor([int(side) for side in box]),
            tensor(found[-1], file, "logits"),
        ]
    except (TypeError, ValueError, RuntimeError) as fault:
        raise _misshapen(file, str(fault).splitlines()[0]) from fault
    if read[5].dim() != 2 or len(read[5]) != len(read[0]) or (box is not None and len(box) != 4):
        raise _misshapen(file, f"logits of shape {tuple(read[5].shape)}")
    return read


def _misshapen(file: Path, found: str) -> DDBenchError:
    return DDBenchError(
        f"{file} holds no batch of stored labels: {found}",
        "expected: [crops, flips, partners, share, box, logits]",
        hint="is it FKD's?",
    )


def _in_order(path: Path, pattern: re.Pattern[str], what: str) -> list[Path]:
    """Files or folders by their numbers, which must be 0, 1, …"""
    found = {int(m[1]): p for p in path.iterdir() if (m := pattern.fullmatch(p.name))}
    if not found or sorted(found) != list(range(len(found))):
        gap = next(number for number in range(len(found) + 1) if number not in found)
        raise DDBenchError(
            f"{path} lacks {what} {gap} of its stored labels",
            f"{len(found)} are there",
            hint="fetch the labels again, or leave them out",
        )
    return [found[number] for number in sorted(found)]
