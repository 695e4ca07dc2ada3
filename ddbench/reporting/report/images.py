"""Small pictures of distilled sets for the page, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int, UInt8
from torch import Tensor

from ddbench.api.errors import DDBenchError, format_count
from ddbench.api.record import Record
from ddbench.reporting.images import as_bytes, grid, stored_images
from ddbench.reporting.report.rows import ReportRow
from ddbench.store.cache import Cache

MOST_CLASSES, MOST_IMAGES = 10, 10
"""Rows and columns of a picture."""
TILE = 64
"""Pixels of an image in it at most."""
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
    """A `data:` address."""
    width: int
    height: int
    coarse: bool
    """Enlarged: pixels are to be seen as such."""


def pictures_of(
    rows: Sequence[ReportRow], store: Cache, data_root: Path | None
) -> tuple[list[Picture], list[str]]:
    """A picture for every row whose images are at hand, of its first seed that has them.

    Returns:
        Pictures, and what has to be said about those that are missing.
    """
    found: list[Picture] = []
    left_out, gone = 0, 0
    for row in rows:
        if row.entry.setting.ipc is None:  # the training set itself
            continue
        if sum(len(picture.source) for picture in found) > PAGE_BYTES:
            left_out += 1
            continue
        picture = _picture(row, store, data_root)
        if picture is None:
            gone += 1
        else:
            found.append(picture)
    said = []
    if gone:
        said.append(
            f"{format_count(gone, 'row')} without a picture: their images are not in the cache."
        )
    if left_out:
        said.append(f"{format_count(left_out, 'picture')} left out: the page would grow beyond "
                    f"{PAGE_BYTES // 10**6} MB.")  # fmt: skip
    return found, said


def _picture(row: ReportRow, store: Cache, data_root: Path | None) -> Picture | None:
    for record in row.entry.finished:
        try:
            tensors = stored_images(record, store, data_root)
        except DDBenchError:  # a selection from data that is not on this machine
            continue
        if tensors is not None:
            return _drawn(row, record, as_bytes(tensors["images"]), tensors["labels"])
    return None


def _drawn(
    row: ReportRow, record: Record, images: UInt8[Tensor, "n c h w"], labels: Int[Tensor, " n"]
) -> Picture:
    from PIL import Image

    whole, classes = len(images), labels.unique()
    chosen = labels <= classes[:MOST_CLASSES].max()
    pixels = grid(images[chosen], labels[chosen], MOST_IMAGES, smallest=32)
    side = images.shape[3]
    view = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    if side > TILE:
        view = view.resize((view.width * TILE // side, view.height * TILE // side))
    shown = f"first {MOST_CLASSES} of {len(classes)} classes, " if len(classes) > 10 else ""
    setting = row.entry.setting
    return Picture(
        row=row.id,
        title=row.entry.name,
        differs=row.differs,
        caption=f"{setting.dataset}, IPC {setting.ipc}, seed {record.seed}: {shown}{whole} images",
        source=_encoded(view),
        width=view.width,
        height=view.height,
        coarse=side < 32,
    )


def _encoded(view: object) -> str:
    """Lossless where that is small enough, else as good as the budget allows."""
    from PIL import Image

    assert isinstance(view, Image.Image)
    kind, data = "png", _saved(view, format="PNG", optimize=True)
    for quality in _QUALITIES:
        if len(data) <= PICTURE_BYTES:
            break
        kind, data = "webp", _saved(view, format="WEBP", quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _saved(view: object, **options: object) -> bytes:
    out = io.BytesIO()
    view.save(out, **options)  # type: ignore[attr-defined]
    return out.getvalue()
