"""Class folders of images, with FKD's stored labels where there are any: SRe2L and its family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ddbench import hookimpl
from ddbench.api.distilled_set import PortableSet, apply_sidecar, write_sidecar
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import SetFormat
from ddbench_plugins.formats._class_images import (
    has_class_folders,
    list_class_folders,
    read_class_folders,
    write_class_folders,
)
from ddbench_plugins.formats._fkd_labels import has_labels, read_labels, write_labels

IMAGES, LABELS, SIDECAR = "images", "FKD", "ddbench.json"


class SRe2LFolders(SetFormat):
    """SRe2L, CDA, G-VBSM, RDED, WMDD: a folder of images a class; stored labels beside them.

    `new003/class003_id000.jpg`: numbered folders are classes by index, others by name. With stored
    labels of a teacher, `images/` and `FKD/epoch_0/batch_0.tar` in one folder.
    """

    layout = "a folder with one folder of images a class, or images/ and FKD/ in it"

    stored: str = ""
    """Where the stored labels lie, if elsewhere: the folder of `epoch_0`."""
    suffix: Literal["png", "jpg"] = "png"
    """Kind of the files that are written; the releases write `jpg`, which loses."""
    labels: str = "fkd"
    """Labeller that reads stored labels to students; G-VBSM's and EDC's is `mse_gt`."""
    seed: int = 42
    """Seed of the order of images in stored labels that do not say it: `--fkd-seed`."""

    def detect(self, path: Path) -> bool:
        labelled = has_labels(path / LABELS) and has_class_folders(path / IMAGES)
        return labelled or has_class_folders(path)

    def read(self, path: Path) -> PortableSet:
        images = path if has_class_folders(path) else path / IMAGES
        if not path.is_dir():
            raise DDBenchError(f"no folder {path}", hint="check the path")
        read = read_class_folders(images)
        labels = Path(self.stored) if self.stored else path / LABELS
        if self.stored and not has_labels(labels):
            raise DDBenchError(
                f"{labels} holds no stored labels",
                "expected: epoch_0/batch_0.tar in it",
                hint="--format 'sre2l[stored=FOLDER]'",
            )
        if has_labels(labels):
            _check_order(images)
            views, weights = read_labels(labels, len(read.images), self.seed)
            card = {**read.card, "labels": self.labels}
            read = replace(read, views=views, weights=weights, card=card)
        beside = path / SIDECAR
        return apply_sidecar(read, beside.read_text(), beside) if beside.is_file() else read

    def write(self, distilled: PortableSet, path: Path) -> None:
        if distilled.pixels != "bytes" or len(distilled.images[0]) not in (1, 3):
            raise DDBenchError(
                "image files hold bytes, grey or RGB, and this set holds "
                f"{distilled.pixels} floats of {len(distilled.images[0])} channels",
                hint="--format dc or mtt holds floats exactly",
            )
        if distilled.soft_labels is not None or distilled.rate is not None:
            raise DDBenchError(
                "folders of images have no place for learned labels or a learned step size",
                hint="--format mtt holds them",
            )
        ordered = distilled.sort_by_class()
        images = path if ordered.views is None else path / IMAGES
        path.mkdir(parents=True)
        write_class_folders(images, ordered.images, ordered.labels, self.suffix)
        if ordered.views is not None:
            write_labels(path / LABELS, ordered.views, self.seed)
        if self.suffix == "png":
            (path / SIDECAR).write_text(write_sidecar(ordered, ordered.images))


def _check_order(path: Path) -> None:
    """Checks that the order of names, by which stored labels go, is that of the classes.

    Raises:
        DDBenchError: `new1000` sorts before `new101`.
    """
    folders = list_class_folders(path)
    widths = {len(folder.name) for folder in folders if folder.name.startswith("new")}
    if len(widths) > 1:
        raise DDBenchError(
            f"{path}: folders sort otherwise than their class numbers",
            "stored labels go by the order of the files, so they would belong to other images",
            hint="fill the numbers of the folders' names with zeros",
        )


@hookimpl
def ddbench_formats() -> Mapping[str, SetFormat]:
    return {"sre2l": SRe2LFolders()}
