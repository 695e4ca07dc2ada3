"""Small pictures of distilled sets for the page, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, UInt8
from PIL import Image

from ddbench.api.errors import DDBenchError, format_count
from ddbench.api.record import Record
from ddbench.reporting.images import draw_grid, load_images, to_bytes
from ddbench.reporting.report.rows import ReportRow
from ddbench.store.cache import Cache

MOST_CLASSES, MOST_IMAGES = 10, 10
"""Rows and columns of a picture."""
TILE = 64
"""Most pixels a side of an image in it."""
PICTURE_BYTES = 120_000
PAGE_BYTES = 12_000_000
_QUALITIES = (90, 75, 55, 35)


@dataclass(frozen=True, slots=True)
class Picture:
    """A grid of the first images of a set, a row for each class."""

    row: str
    """Id of the row of the page that it belongs to."""
    title: str
    differs: str
    """What tells the row from others of its title."""
    caption: str
    source: str
    """Its `data:` address."""
    width: int
    height: int
    coarse: bool
    """True where it is enlarged: pixels are to be seen as such."""


def make_pictures(
    rows: Sequence[ReportRow], store: Cache, data_root: Path | None
) -> tuple[list[Picture], list[str]]:
    """Makes a picture for every row whose images are at hand, of its first seed that has them.

    Returns:
        Pictures, and sentences on those that are missing.
    """
    pictures: list[Picture] = []
    left_out, gone = 0, 0
    for row in rows:
        if row.entry.setting.ipc is None:  # the training set itself
            continue
        if sum(len(picture.source) for picture in pictures) > PAGE_BYTES:
            left_out += 1
            continue
        picture = _make_picture(row, store, data_root)
        if picture is None:
            gone += 1
        else:
            pictures.append(picture)
    missing = []
    if gone:
        rows_gone = format_count(gone, "row")
        missing.append(f"{rows_gone} without a picture: their images are not in the cache.")
    if left_out:
        most = f"{PAGE_BYTES // 10**6} MB"
        missing.append(
            f"{format_count(left_out, 'picture')} left out: the page would grow beyond {most}."
        )
    return pictures, missing


def _make_picture(row: ReportRow, store: Cache, data_root: Path | None) -> Picture | None:
    for record in row.entry.finished:
        try:
            distilled = load_images(record, store, data_root)
        except DDBenchError:  # a selection from data that is not on this machine
            continue
        if distilled is not None:
            return _draw(row, record, to_bytes(distilled.pixels), distilled.labels)
    return None


def _draw(
    row: ReportRow,
    record: Record,
    images: UInt8[torch.Tensor, "n c h w"],
    labels: Int[torch.Tensor, " n"],
) -> Picture:
    classes, side = labels.unique(), images.shape[3]
    chosen = labels <= classes[:MOST_CLASSES].max()
    pixels = draw_grid(images[chosen], labels[chosen], MOST_IMAGES, smallest=32)
    view = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    if side > TILE:
        view = view.resize((view.width * TILE // side, view.height * TILE // side))
    some = f"first {MOST_CLASSES} of {len(classes)} classes, " if len(classes) > 10 else ""
    setting = row.entry.setting
    return Picture(
        row=row.id,
        title=row.entry.name,
        differs=row.differs,
        caption=f"{setting.dataset}, IPC {setting.ipc}, seed {record.seed}: "
        f"{some}{len(images)} images",
        source=_encode(view),
        width=view.width,
        height=view.height,
        coarse=side < 32,
    )


def _encode(view: Image.Image) -> str:
    """Returns an address with the picture: lossless if small, else as good as the budget allows."""
    kind, data = "png", _save(view, format="PNG", optimize=True)
    for quality in _QUALITIES:
        if len(data) <= PICTURE_BYTES:
            break
        kind, data = "webp", _save(view, format="WEBP", quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _save(view: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    view.save(out, **options)
    return out.getvalue()
