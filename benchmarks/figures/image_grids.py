"""Figures 6 to 10, and the images of figure 5: the distilled images of every row, side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Int, UInt8
from torch import Tensor

from benchmarks.figures.files import write_figure
from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.reporting.images import draw_grid, load_images, to_bytes
from ddbench.reporting.tables.aggregate import Entry, Setting, gather
from ddbench.reporting.tables.row_names import label_entries
from ddbench.store.cache import Cache

MOST_CLASSES, MOST_IMAGES = 10, 10
"""Rows and columns of a panel."""
GAP = 2
"""Pixels between two images, as in `ddbench.reporting.images.draw_grid`."""


def group_settings(records: Sequence[Record]) -> dict[Setting, list[Entry]]:
    """Groups finished rows that were distilled or selected by data set, IPC and training.

    Raises:
        DDBenchError: there are none.
    """
    found: dict[Setting, list[Entry]] = {}
    for entry in label_entries(gather(records)):
        if entry.finished and entry.setting.ipc is not None:
            found.setdefault(entry.setting, []).append(entry)
    if not found:
        raise DDBenchError(
            "no finished records of distilled sets in this folder",
            hint="run a suite first: ddbench run benchmarks/figure5.toml --profile cpu",
        )
    return {setting: found[setting] for setting in sorted(found, key=lambda s: s.order)}


def draw(
    records: Sequence[Record], folder: Path, cache: Path, data_root: Path | None = None
) -> list[Path]:
    """Writes a figure for every setting, a panel for every row: the images of its first seed that
    has them. Returns the paths.

    Raises:
        DDBenchError: the cache has the images of no row.
    """
    from matplotlib import pyplot

    store = Cache(cache)
    paths: list[Path] = []
    for setting, entries in group_settings(records).items():
        panels = [
            (entry, made) for entry in entries if (made := _load_images(entry, store, data_root))
        ]
        if not panels:
            continue
        height = 0.6 + max(3.2 * _measure_shape(made[1]) for _, made in panels)
        size = (3.2 * len(panels), height)
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=size, squeeze=False, layout="constrained"
        )
        for number, (axis, (entry, made)) in enumerate(zip(axes[0], panels, strict=True)):
            classes = entry.first.configuration.get("classes", []) if number == 0 else []
            draw_panel(axis, *made, classes)
            axis.set_title(entry.label, fontsize=9)
        figure.suptitle(f"{setting.dataset}, IPC {setting.ipc}", fontsize=9)
        paths += write_figure(figure, folder, _choose_name(setting, paths))
    if not paths:
        raise DDBenchError(
            "the cache has the images of none of these records",
            f"looked in {store.root}",
            hint="--cache names another folder; or run the suite again",
        )
    return paths


def _load_images(
    entry: Entry, store: Cache, data_root: Path | None
) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, " n"]] | None:
    for record in entry.finished:
        distilled = load_images(record, store, data_root)
        if distilled is not None:
            return to_bytes(distilled.pixels), distilled.labels
    return None


def _measure_shape(labels: Int[Tensor, " n"]) -> float:
    """Returns height to width of a panel; one image a class makes a single line."""
    counts = labels[labels < MOST_CLASSES].bincount()
    columns = min(int(counts.max()), MOST_IMAGES)
    return int((counts > 0).sum()) / columns if columns > 1 else 1 / MOST_IMAGES


def draw_panel(
    axis: Any,
    images: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    classes: Sequence[str] = (),
) -> None:
    """Draws a line of images for each of the first classes, its name at the left."""
    shown = labels < MOST_CLASSES
    pixels = draw_grid(images[shown], labels[shown], MOST_IMAGES, smallest=1)
    axis.imshow(pixels.permute(1, 2, 0).numpy(), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    present = labels[shown].unique().tolist()
    if classes and int(labels[shown].bincount().max()) > 1:
        step = images.shape[2] + GAP
        names = [str(classes[cls]).split(",")[0] for cls in present]
        middles = [GAP + step * row + images.shape[2] / 2 for row in range(len(present))]
        axis.set_yticks(middles, names, fontsize=7)
        axis.tick_params(length=0)


def _choose_name(setting: Setting, before: Sequence[Path]) -> str:
    name = re.sub(r"[^A-Za-z0-9_.@-]+", "_", f"images-{setting.dataset}-ipc{setting.ipc}")
    taken = {path.stem for path in before}
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 999))) if n not in taken)
