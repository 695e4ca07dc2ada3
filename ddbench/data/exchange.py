"""Reads and writes distilled sets of any format, and identifies the data set that they are of."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.roles import SetFormat
from ddbench.api.types import DatasetInfo
from ddbench.data.description import describe, find_dataset
from ddbench.data.stored_set import check_classes
from ddbench.data.whitening import EPSILON
from ddbench.registry import Registry

FLOATING = ("normalised", "whitened", "unit")
"""Spaces of floating-point images that a user may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacts:
    """A user's statements about a set; "" leaves it to the set's card or layout."""

    dataset: str = ""
    pixels: str = ""
    method: str = ""


def read_set(path: Path, form: SetFormat) -> PortableSet:
    """Reads the set at a path, a file or folder, and checks it.

    Raises:
        DDBenchError: it is not there, of another format, or damaged.
    """
    _check_exists(path)
    with _explain_faults(path, "read"):
        return check_set(form.read(path), path)


def recognise_format(path: Path, registry: Registry, flag: str) -> SetFormat:
    """Returns the one format that a path looks like.

    Args:
        path: A file or folder.
        registry: Where formats are looked up.
        flag: The option that names a format, for errors.

    Raises:
        DDBenchError: it is not there, or looks like no format, or like several.
    """
    _check_exists(path)
    formats = {name: registry.get("format", name) for name in registry.names("format")}
    with _explain_faults(path, "read"):
        fitting = {name: part for name, part in formats.items() if part.detect(path)}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise DDBenchError(
            f"{path} looks like {' and like '.join(fitting)}", hint=f"name one: {flag} NAME"
        )
    raise DDBenchError(
        f"{path} is not a distilled set of a known format",
        *(f"{name}: {part.layout}" for name, part in formats.items()),
        hint=f"name its format if it goes by other names: {flag} NAME",
    )


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise DDBenchError(f"no file or folder {path}", hint="check the path")


def write_set(
    form: SetFormat,
    distilled: PortableSet,
    path: Path,
    also: Callable[[Path], None] | None = None,
) -> None:
    """Writes a set whole, or nothing.

    Args:
        form: The format.
        distilled: The set.
        path: A file or folder that does not exist yet, or an empty folder.
        also: Writes more into the folder before it appears under its name.

    Raises:
        DDBenchError: something is there, the disk refuses, or the format cannot hold the set.
    """
    check_set(distilled, "the set to write")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        what = "exists" if path.is_file() else "is not empty"
        raise DDBenchError(f"{path} {what}", "nothing is overwritten", hint="name a new folder")
    path = path.absolute()
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    with _explain_faults(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            form.write(distilled, draft)
            if also is not None:
                also(draft)
            if draft.is_file() and path.is_dir():
                path.rmdir()
            draft.replace(path)
        finally:
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _explain_faults(path: Path, done: str) -> Iterator[None]:
    """Turns the faults of a disk, and what a stranger's format raises, into a sentence."""
    try:
        yield
    except DDBenchError:
        raise
    except (OSError, MemoryError) as fault:
        reason = (str(fault) or type(fault).__name__).splitlines()[0]
        hint = "check rights and space, or name another place"
        raise DDBenchError(f"{path} cannot be {done}", reason, hint=hint) from fault
    except Exception as fault:
        reason = (str(fault) or "no message").splitlines()[0]
        raise DDBenchError(
            f"{path} cannot be {done}: the format failed with {type(fault).__name__}",
            reason,
            hint="is it a fault of the plug-in? `ddbench check PACKAGE`",
        ) from fault


# -- the data set of a distilled set ---------------------------------------------------------------


def identify_set(
    distilled: PortableSet, facts: SetFacts, registry: Registry, root: Path | None, where: Path
) -> PortableSet:
    """Returns a set whose card names its data set and classes, and whose pixels are known.

    Args:
        distilled: The set as a format read it.
        facts: What the user says.
        registry: Where data sets are looked up.
        root: Folder of the data sets.
        where: How errors call the set.

    Raises:
        DDBenchError: neither user nor set names the data set, or the set does not fit it.
    """
    name = facts.dataset or distilled.card.get("dataset")
    if not name:
        raise DDBenchError(
            f"{where} does not say which data set it was distilled from",
            "an index means nothing without the order of the classes",
            hint="--dataset NAME, or NAME@PIXELS",
        )
    info = describe(find_dataset(name, registry), root)
    distilled = _add_space(distilled, facts.pixels, info)
    distilled = _add_classes(distilled, info, where)
    card = {**distilled.card, "dataset": name, "shape": list(distilled.images.shape[1:])}
    card["method"] = facts.method or card.get("method") or "imported"
    card.setdefault("ipc", int(torch.bincount(distilled.labels).max()))
    if distilled.pixels == "whitened":
        card.setdefault("zca", EPSILON)
    check_classes(card, info)
    return replace(distilled, card=card)


def _add_space(distilled: PortableSet, pixels: str, info: DatasetInfo) -> PortableSet:
    """Returns the set with its space of pixels and, unless it has them, the data's mean and sd."""
    if pixels and pixels not in FLOATING:
        raise unknown("kind of pixels", pixels, FLOATING)
    if pixels and distilled.pixels != "bytes":
        distilled = replace(distilled, pixels=pixels)  # type: ignore[arg-type]
    if distilled.mean:
        return distilled
    return replace(distilled, mean=info.mean, std=info.std)


def _add_classes(distilled: PortableSet, info: DatasetInfo, where: Path) -> PortableSet:
    """Orders labels as the data set's classes: by name where there are names, else by index.

    Raises:
        DDBenchError: names or numbers of classes differ.
    """
    card = {k: v for k, v in distilled.card.items() if k not in ("class_names", "class_count")}
    if "classes" in card:
        return replace(distilled, card=card)
    names, count = distilled.card.get("class_names"), distilled.card.get("class_count")
    if names is not None and (count is None or _find_order(names, info) is not None):
        return _order_by_name(replace(distilled, card=card), list(names), info, where)
    soft = distilled.soft_labels
    count = soft.shape[1] if count is None and soft is not None else count
    count = int(distilled.labels.max()) + 1 if count is None else count
    if count != info.num_classes:
        raise DDBenchError(
            f"{where} has {count} classes, {info.name} has {info.num_classes}",
            hint="name the data set that it was distilled from: --dataset NAME",
        )
    return replace(distilled, card={**card, "classes": list(info.classes)})


def _find_order(names: Sequence[str], info: DatasetInfo) -> Sequence[str] | None:
    """Returns the data set's own names of its classes, in order, if these are they."""
    return next((known for known in (info.classes, info.titles) if set(names) == set(known)), None)


def _order_by_name(
    distilled: PortableSet, names: list[str], info: DatasetInfo, where: Path
) -> PortableSet:
    """Returns the set with labels of the data set's classes instead of those of its folders."""
    known = _find_order(names, info)
    if known is None:
        odd = next((name for name in names if name not in info.classes), None)
        raise DDBenchError(
            f"the class folders of {where} are not the classes of {info.name}",
            f"'{odd}' is none of them" if odd else f"{len(names)} of {info.num_classes} are there",
            hint="--dataset NAME names another data set",
        )
    order = torch.tensor([known.index(name) for name in names])
    labels = order[distilled.labels]
    stored = distilled.views is not None or distilled.soft_labels is not None
    if stored and not torch.equal(labels, distilled.labels):
        raise DDBenchError(
            f"{where}: the folders sort in another order than the classes of {info.name}",
            "the stored labels belong to the order of the folders",
            hint="leave the stored labels out",
        )
    return replace(distilled, labels=labels, card={**distilled.card, "classes": list(info.classes)})
