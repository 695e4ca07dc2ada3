"""Data sets by name, and what is known of one before an image is decoded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench.registry import Registry
from ddbench.store.keys import key_of

MOST_PIXELS = 4096
"""Pixels of a side, at most: more are a typing error, whose decoding would fill a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDataset:
    """A data set as it was chosen: the part, its name, and the share that serves as test data."""

    name: str
    part: Dataset
    holdout: float = 0.0
    """Above 0: so much of the training images, drawn per class, serves as test data instead of the
    real test set, which is not touched. For tuning."""


def find_dataset(text: str, registry: Registry, holdout: float = 0.0) -> NamedDataset:
    """Finds a data set by a name such as `digits`, `imagenette@64` or `folder:PATH@32`.

    Raises:
        DDBenchError: there is no such data set, or the resolution is not a number.
    """
    name, at, size = text.rpartition("@")
    if not at or "/" in size:
        name, size = text, ""
    part = registry.get("dataset", name)
    if size:
        if not size.isdigit() or int(size) < 4:
            raise DDBenchError(
                f"cannot read the resolution in '{text}'",
                "expected: NAME@PIXELS, 4 or more",
                hint=f"for example {name}@64",
            )
        part = replace(part, resolution=int(size))
    return NamedDataset(name=text, part=part, holdout=holdout)


def describe(named: NamedDataset, root: Path | None) -> DatasetInfo:
    """Describes a data set without decoding it; counts are those after holding out.

    Raises:
        DDBenchError: the data are not there, are of one class, or of absurdly many pixels.
    """
    info = named.part.info(root)
    changed = _list_changes(named.part)
    if changed:
        info = replace(info, fingerprint=f"{info.fingerprint}-{key_of(changed)[:8]}")
    if len(info.classes) < 2:
        raise DDBenchError(
            f"data set '{named.name}' has {len(info.classes)} class",
            "a classifier needs at least two",
        )
    if max(info.shape[1:]) > MOST_PIXELS:
        raise DDBenchError(
            f"data set {named.name} is {max(info.shape[1:])} pixels a side",
            f"expected: {MOST_PIXELS} or less",
            hint="a smaller resolution: NAME@PIXELS",
        )
    if not named.holdout:
        return info
    held = tuple(count_held_out(count, named.holdout) for count in info.train_counts)
    return replace(
        info,
        train_counts=tuple(n - h for n, h in zip(info.train_counts, held, strict=True)),
        test_counts=held,
        fingerprint=f"{info.fingerprint}-holdout{named.holdout:g}",
    )


def _list_changes(part: Dataset) -> dict[str, Any]:
    """Lists version and options of a data set that are no defaults, for its fingerprint.

    Where the files lie does not matter, and the resolution is in the shape of every image.
    """
    known = {"resolution", part.argument}
    changed = {
        f.name: value
        for f in dataclasses.fields(part)
        if (value := getattr(part, f.name)) != f.default
        and f.name not in known
        and not isinstance(value, Path)
    }
    version = part.version
    return changed if version == 1 else {**changed, "version of the part": version}


def count_held_out(count: int, part: float) -> int:
    """Counts the training images of a class that are held out for testing."""
    return min(max(round(count * part), 1), count - 1)
