"""Distilled sets in and out: which format a path is of, what a set is of, whole files or none."""

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
"""What a user may say of floating images."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a user says of a set, instead of what its layout says."""

    dataset: str = ""
    pixels: str = ""
    method: str = ""


def read_set(path: Path, form: SetFormat) -> PortableSet:
    """Reads the set at a path, a file or folder, and checks it.

    Raises:
        DDBenchError: it is not there, of another format, or damaged.
    """
    _check_exists(path)
    with _explained(path, "read"):
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
    with _explained(path, "read"):
        found = {name: part for name, part in formats.items() if part.detect(path)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise DDBenchError(
            f"{path} looks like {' and like '.join(found)}", hint=f"name one: {flag} NAME"
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
    with _explained(path, "written"):
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
def _explained(path: Path, done: str) -> Iterator[None]:
    """Turns the faults of a disk, and what a stranger's format raises, into a sentence."""
    try:
        yield
    except DDBenchError:
        raise
    except (OSError, MemoryError) as fault:
        said = (str(fault) or type(fault).__name__).splitlines()[0]
        raise DDBenchError(
            f"{path} cannot be {done}", said, hint="check rights and space, or name another place"
        ) from fault
    except Exception as fault:
        said = (str(fault) or "no message").splitlines()[0]
        raise DDBenchError(
            f"{path} cannot be {done}: the format failed with {type(fault).__name__}", said,
            hint="is it a fault of the plug-in? `ddbench check PACKAGE`",
        ) from fault  # fmt: skip


# -- what a set is of ------------------------------------------------------------------------------


def placed(
    found: PortableSet, answers: Answers, registry: Registry, root: Path | None, where: Path
) -> PortableSet:
    """A set whose card names its data set and classes, and whose pixels are known.

    Args:
        found: As a format read it.
        answers: What the user says.
        registry: Where data sets are looked up.
        root: The data root.
        where: How an error calls the set.

    Raises:
        DDBenchError: nobody says which data set it is of, or it does not fit that one.
    """
    name = answers.dataset or found.card.get("dataset")
    if not name:
        raise DDBenchError(
            f"{where} does not say which data set it was distilled from",
            "an index means nothing without the order of the classes",
            hint="--dataset NAME, or NAME@PIXELS",
        )
    info = describe(find_dataset(name, registry), root)
    found = _in_space(found, answers.pixels, info)
    found = _with_classes(found, info, where)
    card = {**found.card, "dataset": name, "shape": list(found.images.shape[1:])}
    card["method"] = answers.method or card.get("method") or "imported"
    card.setdefault("ipc", int(torch.bincount(found.labels).max()))
    if found.pixels == "whitened":
        card.setdefault("zca", EPSILON)
    check_classes(card, info)
    return replace(found, card=card)


def _in_space(found: PortableSet, said: str, info: DatasetInfo) -> PortableSet:
    if said and said not in FLOATING:
        raise unknown("kind of pixels", said, FLOATING)
    if said and found.pixels != "bytes":
        found = replace(found, pixels=said)  # type: ignore[arg-type]
    if found.mean:
        return found
    return replace(found, mean=info.mean, std=info.std)


def _with_classes(found: PortableSet, info: DatasetInfo, where: Path) -> PortableSet:
    """Labels in the order of the data set's classes: by name where there are names, else by index.

    Raises:
        DDBenchError: names or numbers of classes differ.
    """
    card = {k: v for k, v in found.card.items() if k not in ("class_names", "class_count")}
    if "classes" in card:
        return replace(found, card=card)
    names, count = found.card.get("class_names"), found.card.get("class_count")
    if names is not None and (count is None or _known_order(names, info) is not None):
        return _by_name(replace(found, card=card), list(names), info, where)
    soft = found.soft_labels
    count = soft.shape[1] if count is None and soft is not None else count
    count = int(found.labels.max()) + 1 if count is None else count
    if count != info.num_classes:
        raise DDBenchError(
            f"{where} has {count} classes, {info.name} has {info.num_classes}",
            hint="name the data set that it was distilled from: --dataset NAME",
        )
    return replace(found, card={**card, "classes": list(info.classes)})


def _known_order(names: Sequence[str], info: DatasetInfo) -> Sequence[str] | None:
    """The data set's own names of its classes, in order, if these are they."""
    return next((k for k in (info.classes, info.titles) if set(names) == set(k)), None)


def _by_name(found: PortableSet, names: list[str], info: DatasetInfo, where: Path) -> PortableSet:
    known = _known_order(names, info)
    if known is None:
        odd = next((name for name in names if name not in info.classes), None)
        raise DDBenchError(
            f"the class folders of {where} are not the classes of {info.name}",
            f"'{odd}' is none of them" if odd else f"{len(names)} of {info.num_classes} are there",
            hint="--dataset NAME names another data set",
        )
    order = torch.tensor([known.index(name) for name in names])
    labels = order[found.labels]
    theirs = found.views is not None or found.soft_labels is not None
    if theirs and not torch.equal(labels, found.labels):
        raise DDBenchError(
            f"{where}: the folders sort in another order than the classes of {info.name}",
            "the stored labels belong to the order of the folders",
            hint="leave the stored labels out",
        )
    return replace(found, labels=labels, card={**found.card, "classes": list(info.classes)})
