"""Reads and writes FKD's stored labels: `epoch_E/batch_B.tar`, a teacher's answers to each view.

SRe2L's files hold six things and do not say which images a batch shows: its code draws them again
from a seed. Those of its successors hold a seventh: G-VBSM and EDC the images of the batch, WMDD
their weights. EDC's hold an eighth, how patches were shuffled: zeros, as its code leaves that out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews
from ddbench_plugins.formats._safe_load import check_tensor, load

_EPOCH, _BATCH = re.compile(r"epoch_(\d+)"), re.compile(r"batch_(\d+)\.tar")


def has_labels(path: Path) -> bool:
    """Tells whether a folder holds epochs of stored labels."""
    return (path / "epoch_0").is_dir()


def read_labels(
    path: Path, count: int, seed: int
) -> tuple[StoredViews, Float[torch.Tensor, " n"] | None]:
    """Reads all epochs, the rows of each in the order of its batches; and weights of the images.

    Args:
        path: The folder of the epochs.
        count: Number of images of the set.
        seed: Seed of the order of images, where the files do not say it.

    Raises:
        DDBenchError: an epoch or batch is missing, damaged or unsafe, or of another count.
    """
    epochs = [_read_batches(folder) for folder in _sort_numbered(path, _EPOCH, "epoch")]
    sizes = [tuple(len(batch[0]) for batch in batches) for batches in epochs]
    for number, batches in enumerate(sizes):
        if sum(batches) != count or batches != sizes[0]:
            raise DDBenchError(
                f"{path}: epoch {number} labels {sum(batches)} images in {len(batches)} batches",
                f"expected: {count} images in batches of {sizes[0][0]}",
                hint="the labels belong to another set, or some of their files are missing",
            )

    def joined(place: int) -> torch.Tensor | None:
        parts = [[batch[place] for batch in batches] for batches in epochs]
        if all(part is None for row in parts for part in row):
            return None
        return torch.stack([torch.cat(row) for row in parts])

    try:
        crops, flips, partners, shares, boxes, logits, rows, weights = map(joined, range(8))
    except (TypeError, RuntimeError) as fault:  # some batches mixed and some not, other sizes
        raise _make_error(path, "batches differ in what they hold") from fault
    assert crops is not None and flips is not None and logits is not None  # noqa: PT018
    rows = draw_rows(len(epochs), count, seed) if rows is None else rows
    views = StoredViews(
        crops=crops,
        flips=flips,
        partners=partners,
        shares=shares,
        logits=logits,
        rows=rows,
        batches=sizes[0],
        boxes=None if boxes is None else boxes.unflatten(1, (-1, 4)),
    )
    return views, None if weights is None else _sort_weights(weights, rows, path)


def draw_rows(epochs: int, count: int, seed: int) -> Int[torch.Tensor, "e n"]:
    """Draws the images that the batches of SRe2L's code show: one sampler, seeded once, goes on
    from epoch to epoch."""
    from torch.utils.data import RandomSampler

    sampler = RandomSampler(range(count), generator=torch.Generator().manual_seed(seed))
    return torch.tensor([list(sampler) for _ in range(epochs)])


def _sort_weights(
    weights: Float[torch.Tensor, "e n"], rows: Int[torch.Tensor, "e n"], path: Path
) -> Float[torch.Tensor, " n"]:
    """Sorts weights into the order of the images.

    Raises:
        DDBenchError: an image has another weight in another epoch: the rows are not what they show.
    """
    in_range = int(rows.min()) >= 0 and int(rows.max()) < rows.shape[1]
    places = rows.clamp(0, rows.shape[1] - 1)
    ordered = torch.zeros_like(weights).scatter_(1, places, weights)
    if not in_range or not torch.equal(ordered, ordered[:1].expand_as(ordered)):
        raise DDBenchError(
            f"{path}: an image has one weight in an epoch and another one in the next",
            "the batches show other images than those that the seed gives",
            hint="name the seed of the order: 'sre2l[seed=42]'",
        )
    return ordered[0]


def write_labels(path: Path, views: StoredViews, seed: int) -> None:
    """Writes a file a batch, a list as the released codes read it: crops, flips, partners, share,
    box, logits.

    Where the images are not those that the seed gives, their numbers come seventh, as in G-VBSM's
    files; SRe2L's code, which takes six, stops at such a file instead of mistaking the images.
    """
    epochs, count = views.rows.shape
    drawn = torch.equal(views.rows, draw_rows(epochs, count, seed))
    ends = torch.tensor(views.batches).cumsum(0).tolist()
    for epoch in range(epochs):
        folder = path / f"epoch_{epoch}"
        folder.mkdir(parents=True)
        for number, (end, size) in enumerate(zip(ends, views.batches, strict=True)):
            rows = slice(end - size, end)
            batch = [
                views.crops[epoch, rows].clone(),
                views.flips[epoch, rows].clone(),
                None if views.partners is None else views.partners[epoch, rows].clone(),
                None if views.shares is None else views.shares[epoch, number].item(),
                None if views.boxes is None else views.boxes[epoch, number].tolist(),
                views.logits[epoch, rows].clone(),
                *([] if drawn else [views.rows[epoch, rows].clone()]),
            ]
            torch.save(batch, folder / f"batch_{number}.tar")


def _read_batches(folder: Path) -> list[list[Any]]:
    return [_read_batch(file) for file in _sort_numbered(folder, _BATCH, "batch")]


def _read_batch(file: Path) -> list[Any]:
    """Reads crops, flips, partners, share, box, logits, images and weights of a batch as tensors.

    Raises:
        DDBenchError: the file holds something else.
    """
    batch = load(file)
    if not isinstance(batch, (list, tuple)) or not 6 <= len(batch) <= 8:
        raise _make_error(file, f"a {type(batch).__name__}")
    crops, flips, partners, share, box = batch[:5]
    try:
        crops = check_tensor(torch.as_tensor(crops), file, "crops").float()
        logits = check_tensor(batch[5], file, "logits")
        read = [
            crops,
            torch.as_tensor(flips).bool(),
            None if partners is None else torch.as_tensor(partners).long(),
            None if share is None else torch.tensor([float(share)], dtype=torch.float64),
            None if box is None else torch.tensor([int(side) for side in box]),
            logits,
        ]
        more = [check_tensor(other, file, "images, weights or patches") for other in batch[6:]]
    except (TypeError, ValueError, RuntimeError) as fault:
        raise _make_error(file, str(fault).splitlines()[0]) from fault
    if logits.dim() != 2 or len(logits) != len(crops) or (box is not None and len(box) != 4):
        raise _make_error(file, f"logits of shape {tuple(logits.shape)}")
    if len(more) == 2 and bool(more[1].any()):
        raise _make_error(file, "the patches of its images were shuffled")
    return [*read, *_read_seventh(more[0] if more else None, len(crops), file)]


def _read_seventh(
    seventh: torch.Tensor | None, count: int, file: Path
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Returns images and weights, one of them None: whole numbers are images, others weights."""
    if seventh is None:
        return None, None
    if seventh.shape != (count,):
        raise _make_error(file, f"a seventh thing of shape {tuple(seventh.shape)}")
    return (None, seventh.float()) if seventh.is_floating_point() else (seventh.long(), None)


def _make_error(file: Path, content: str) -> DDBenchError:
    return DDBenchError(
        f"{file} holds no batch of stored labels: {content}",
        "expected: [crops, flips, partners, share, box, logits], perhaps images or weights",
        hint="is it FKD's?",
    )


def _sort_numbered(path: Path, pattern: re.Pattern[str], what: str) -> list[Path]:
    """Sorts files or folders by their numbers, which must be 0, 1, …"""
    paths = {int(m[1]): p for p in path.iterdir() if (m := pattern.fullmatch(p.name))}
    if not paths or sorted(paths) != list(range(len(paths))):
        gap = next(number for number in range(len(paths) + 1) if number not in paths)
        raise DDBenchError(
            f"{path} lacks {what} {gap} of its stored labels",
            f"{len(paths)} are there",
            hint="fetch the labels again, or leave them out",
        )
    return [paths[number] for number in sorted(paths)]
