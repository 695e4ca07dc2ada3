"""Folders of `.pt` files, one a tensor: MTT and its successors, and what DD-Ranking takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from ddbench import hookimpl
from ddbench.api.distilled_set import PortableSet, apply_sidecar, write_sidecar
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import SetFormat
from ddbench_plugins.formats._class_images import has_class_folders, read_class_folders
from ddbench_plugins.formats._normalised import FAMILY, guess_space, normalise
from ddbench_plugins.formats._safe_load import check_tensor, load, to_single

SIDECAR = "ddbench.json"


@dataclass(frozen=True, slots=True)
class MTTFiles:
    """MTT, TESLA, FTD, DATM: `images_best.pt`, `labels_best.pt`, `lr_best.pt` in a folder.

    Labels are classes, or one learned row an image; `lr` is the learned step size, which MTT itself
    does not save. Whether images were whitened (ZCA) stands nowhere: it is asked.
    """

    version: ClassVar[int] = 1
    layout: ClassVar[str] = "a folder with images_best.pt, labels_best.pt and perhaps lr_best.pt"

    which: str = "best"
    """`best`, or the iteration in the files' names; `zca_N`: whitening undone."""

    def detect(self, path: Path) -> bool:
        return (path / f"images_{self.which}.pt").is_file()

    def read(self, path: Path) -> PortableSet:
        return read_files(
            path,
            self._locate(path, "images"),
            self._locate(path, "labels"),
            self._locate(path, "lr"),
            FAMILY,
        )

    def write(self, distilled: PortableSet, path: Path) -> None:
        path.mkdir(parents=True)
        write_files(
            distilled,
            path,
            self._locate(path, "images"),
            self._locate(path, "labels"),
            self._locate(path, "lr"),
        )

    def _locate(self, path: Path, name: str) -> Path:
        which = self.which if name == "images" else self.which.removeprefix("zca_")
        return path / f"{name}_{which}.pt"


@dataclass(frozen=True, slots=True)
class DDRankingFiles:
    """DD-Ranking: `images.pt` or a folder `images/`, `labels.pt` and `lr.pt` in a folder.

    What `compute_metrics` of its evaluators takes: images as networks take them, in the order of
    their classes and equally many of each; hard labels, or one soft row an image; a step size.
    """

    version: ClassVar[int] = 1
    layout: ClassVar[str] = "a folder with images.pt (or images/CLASS/*.png), labels.pt and lr.pt"

    def detect(self, path: Path) -> bool:
        folder = has_class_folders(path / "images") and (path / "labels.pt").is_file()
        return (path / "images.pt").is_file() or folder

    def read(self, path: Path) -> PortableSet:
        return read_files(path, path / "images.pt", path / "labels.pt", path / "lr.pt", {})

    def write(self, distilled: PortableSet, path: Path) -> None:
        counts = torch.bincount(distilled.labels)
        ordered = torch.equal(distilled.labels, distilled.labels.sort(stable=True).values)
        if not ordered or len(set(counts.tolist())) != 1:
            raise DDBenchError(
                "DD-Ranking takes equally many images of each class, in the order of the classes",
                f"this set has {int(counts.min())} to {int(counts.max())} a class",
                hint="another format holds it: `ddbench list formats`",
            )
        path.mkdir(parents=True)
        write_files(distilled, path, path / "images.pt", path / "labels.pt", path / "lr.pt")


def read_files(
    path: Path, images: Path, labels: Path, rate: Path, card: Mapping[str, Any]
) -> PortableSet:
    """A set from up to three files and, if it was written here, a sidecar.

    Raises:
        DDBenchError: a file is missing, damaged or unsafe, or does not fit the others.
    """
    if not images.is_file() and has_class_folders(path / "images"):
        found = read_class_folders(path / "images")
        pixels, own = found.images, found
    else:
        pixels = to_single(check_tensor(load(images), images, "images"))
        own = PortableSet(
            images=pixels,
            labels=torch.empty(0, dtype=torch.int64),
            pixels=guess_space(pixels, images, "unknown"),
        )
    given = check_tensor(load(labels), labels, "labels") if labels.is_file() else None
    hard, soft = _read_labels(given, own.labels, len(pixels), labels)
    read = PortableSet(
        images=pixels,
        labels=hard,
        soft_labels=soft,
        pixels=own.pixels,
        rate=_read_number(load(rate), rate) if rate.is_file() else None,
        card={**own.card, **card, **({} if soft is None else {"labels": "stored"})},
    )
    beside = path / SIDECAR
    return apply_sidecar(read, beside.read_text(), beside) if beside.is_file() else read


def write_files(distilled: PortableSet, path: Path, images: Path, labels: Path, rate: Path) -> None:
    """The three files and the sidecar; no rate, no third file."""
    if distilled.views is not None:
        raise DDBenchError(
            "this layout has no place for the stored labels of a teacher's views",
            hint="--format sre2l holds them; --no-views leaves them out",
        )
    written = normalise(distilled, "this layout")
    torch.save(written, images)
    soft = distilled.soft_labels
    torch.save(distilled.labels if soft is None else soft, labels)
    if distilled.rate is not None:
        single_ = torch.tensor(distilled.rate)
        exact = (
            single_
            if single_.item() == distilled.rate
            else single_.new_tensor(distilled.rate, dtype=torch.float64)
        )
        torch.save(exact, rate)
    (path / SIDECAR).write_text(write_sidecar(distilled, written))


def _read_labels(
    given: torch.Tensor | None, of_folders: torch.Tensor, count: int, path: Path
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Classes, and one row an image if labels are soft.

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
    """Whether each row is one 1 among zeros."""
    return bool((((rows == 0) | (rows == 1)).all(1) & (rows.sum(1) == 1)).all())


def _read_number(found: Any, path: Path) -> float:
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        found = found.item()
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise DDBenchError(
            f"{path} holds no learning rate but {type(found).__name__}",
            "expected: one number",
            hint="remove the file to go without",
        )
    return float(found)


@hookimpl
def ddbench_formats() -> Mapping[str, SetFormat]:
    return {"mtt": MTTFiles(), "dd_ranking": DDRankingFiles()}
