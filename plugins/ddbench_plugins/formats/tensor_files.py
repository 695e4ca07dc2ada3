"""The formats of MTT's family and of DD-Ranking: folders of `.pt` files, one a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from ddbench import hookimpl
from ddbench.api.distilled_set import PortableSet, apply_sidecar, write_sidecar
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import SetFormat
from ddbench_plugins.formats._class_images import has_class_folders, read_class_folders
from ddbench_plugins.formats._normalised import FAMILY, guess_space, normalise
from ddbench_plugins.formats._safe_load import check_tensor, load, to_single

SIDECAR = "ddbench.json"
Names: TypeAlias = tuple[str, str, str]
"""Files of the images, of their labels and of the learned rate."""
NAMES: Names = ("images.pt", "labels.pt", "lr.pt")


class MTTFiles(SetFormat):
    """MTT, TESLA, FTD, DATM: `images_best.pt`, `labels_best.pt`, `lr_best.pt` in a folder.

    Labels are classes, or one learned row an image; `lr` is the learned step size, which MTT itself
    does not save. Whether images were whitened (ZCA) stands nowhere: it is asked.
    """

    layout = "a folder with images_best.pt, labels_best.pt and perhaps lr_best.pt"

    which: str = "best"
    """`best`, or the iteration in the files' names; `zca_N`: whitening undone."""

    def detect(self, path: Path) -> bool:
        return (path / f"images_{self.which}.pt").is_file()

    def read(self, path: Path) -> PortableSet:
        return read_files(path, self._names, FAMILY)

    def write(self, distilled: PortableSet, path: Path) -> None:
        write_files(distilled, path, self._names)

    @property
    def _names(self) -> Names:
        labels = self.which.removeprefix("zca_")
        return f"images_{self.which}.pt", f"labels_{labels}.pt", f"lr_{labels}.pt"


class DDRankingFiles(SetFormat):
    """DD-Ranking: `images.pt` or a folder `images/`, `labels.pt` and `lr.pt` in a folder.

    What `compute_metrics` of its evaluators takes: images as networks take them, in the order of
    their classes and equally many of each; hard labels, or one soft row an image; a step size.
    """

    layout = "a folder with images.pt (or images/CLASS/*.png), labels.pt and lr.pt"

    def detect(self, path: Path) -> bool:
        folder = has_class_folders(path / "images") and (path / "labels.pt").is_file()
        return (path / "images.pt").is_file() or folder

    def read(self, path: Path) -> PortableSet:
        return read_files(path, NAMES, {})

    def write(self, distilled: PortableSet, path: Path) -> None:
        counts = torch.bincount(distilled.labels)
        ordered = torch.equal(distilled.labels, distilled.labels.sort(stable=True).values)
        if not ordered or len(set(counts.tolist())) != 1:
            raise DDBenchError(
                "DD-Ranking takes equally many images of each class, in the order of the classes",
                f"this set has {int(counts.min())} to {int(counts.max())} a class",
                hint="another format holds it: `ddbench list formats`",
            )
        write_files(distilled, path, NAMES)


def read_files(path: Path, names: Names, card: Mapping[str, Any]) -> PortableSet:
    """Reads a set from up to three files and, if it was written here, a sidecar.

    Raises:
        DDBenchError: a file is missing, damaged or unsafe, or does not fit the others.
    """
    images, labels, rate = (path / name for name in names)
    folders = None
    if not images.is_file() and has_class_folders(path / "images"):
        folders = read_class_folders(path / "images")
        pixels, known = folders.images, folders.labels
    else:
        pixels = to_single(check_tensor(load(images), images, "images"))
        known = torch.empty(0, dtype=torch.int64)
    given = check_tensor(load(labels), labels, "labels") if labels.is_file() else None
    hard, soft = _read_labels(given, known, len(pixels), labels)
    own = folders or PortableSet(
        images=pixels, labels=hard, pixels=guess_space(pixels, images, "unknown")
    )
    read = replace(
        own,
        labels=hard,
        soft_labels=soft,
        rate=_read_number(load(rate), rate) if rate.is_file() else None,
        card={**own.card, **card, **({} if soft is None else {"labels": "stored"})},
    )
    beside = path / SIDECAR
    return apply_sidecar(read, beside.read_text(), beside) if beside.is_file() else read


def write_files(distilled: PortableSet, path: Path, names: Names) -> None:
    """Writes images, labels, the rate if there is one, and a sidecar into a new folder."""
    if distilled.views is not None:
        raise DDBenchError(
            "this layout has no place for the stored labels of a teacher's views",
            hint="--format sre2l holds them; --no-views leaves them out",
        )
    written = normalise(distilled, "this layout")
    images, labels, rate = (path / name for name in names)
    path.mkdir(parents=True)
    torch.save(written, images)
    soft = distilled.soft_labels
    torch.save(distilled.labels if soft is None else soft, labels)
    if distilled.rate is not None:
        single = torch.tensor(distilled.rate)
        double = torch.tensor(distilled.rate, dtype=torch.float64)
        torch.save(single if single.item() == distilled.rate else double, rate)
    (path / SIDECAR).write_text(write_sidecar(distilled, written))


def _read_labels(
    given: torch.Tensor | None, of_folders: torch.Tensor, count: int, path: Path
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns classes, and one row an image if labels are soft.

    Rows are in the order of the classes, unless each names its class by a single 1.
    """
    if given is None and not len(of_folders):
        raise DDBenchError(f"no file {path}", "the images' labels", hint="put it beside the images")
    if given is None:
        return of_folders, None
    if not given.dtype.is_floating_point:
        if len(of_folders) and not torch.equal(given.long(), of_folders):
            raise DDBenchError(
                f"the labels of {path} are not the classes of the folders of images",
                "images are read folder by folder, in the order of their names",
                hint="remove one of the two",
            )
        return given.long(), None
    if len(of_folders):
        return of_folders, given
    if given.dim() == 2 and len(given) == count and _are_one_hot(given):
        return given.argmax(1), given
    classes = given.shape[-1] if given.dim() == 2 else 0
    if not classes or len(given) != count or count % classes:
        raise DDBenchError(
            f"{path} holds {tuple(given.shape)} soft labels for {count} images",
            "expected: a row an image, equally many images of each class",
            hint="are both files of one set?",
        )
    return torch.arange(classes).repeat_interleave(count // classes), given


def _are_one_hot(rows: torch.Tensor) -> bool:
    """Tells whether each row is one 1 among zeros."""
    return bool((((rows == 0) | (rows == 1)).all(1) & (rows.sum(1) == 1)).all())


def _read_number(value: Any, path: Path) -> float:
    """Returns the one number that a file holds.

    Raises:
        DDBenchError: it holds something else.
    """
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DDBenchError(
            f"{path} holds no learning rate but {type(value).__name__}",
            "expected: one number",
            hint="remove the file to go without",
        )
    return float(value)


@hookimpl
def ddbench_formats() -> Mapping[str, SetFormat]:
    return {"mtt": MTTFiles(), "dd_ranking": DDRankingFiles()}
