"""Protocols from TOML files, with a row of changes for each range of resolutions."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ddbench.api.errors import DDBenchError, nearest
from ddbench.api.recipe import Protocol
from ddbench.api.types import DatasetInfo
from ddbench.config.finite import is_finite


def read_protocol(path: Path, info: DatasetInfo) -> Protocol:
    """The protocol of a file for one data set.

    A file holds `name`, `[training]` and `[training.augmentation]` with the fields of
    `ddbench.api.recipe.Training` and `Augmentation`, and any number of `[[resolution]]` rows:
    the first whose `max_resolution` is not below the data set's replaces what it names.

    Raises:
        DDBenchError: the file is missing, malformed, or has a field that does not exist.
    """
    raw = read_toml(path)
    rows = _rows(raw.pop("resolution", []), path)
    raw.setdefault("name", path.stem)
    plain = validated(Protocol, raw, str(path))
    # Every row is looked at, so that a slip in one is found whatever the data set.
    changed = [
        (most, validated(Protocol, merged(raw, change), f"{path}, max_resolution {most}"))
        for most, change in rows
    ]
    return next((found for most, found in changed if info.resolution <= most), plain)


def _rows(raw: Any, path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The `[[resolution]]` tables by size: the largest resolution of each, and what it changes."""
    rows = raw if isinstance(raw, list) else [raw]
    sizes = [row.get("max_resolution") if isinstance(row, dict) else None for row in rows]
    if not all(type(size) is int for size in sizes) or not isinstance(raw, list):
        raise DDBenchError(
            f"{path} has a row of resolutions that cannot be read",
            "expected: [[resolution]] tables, each with max_resolution = PIXELS",
            hint="give every row its max_resolution, a whole number",
        )
    found = [
        (size, {name: value for name, value in row.items() if name != "max_resolution"})
        for size, row in zip(sizes, rows, strict=True)
    ]
    return sorted(found, key=lambda row: row[0])


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        DDBenchError: missing or malformed.
    """
    if path.is_dir():  # as is this one, which the argument "$UNSET" means
        raise DDBenchError(f"{path} is a folder", "expected: a TOML file",
                           hint="name a TOML file")  # fmt: skip
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as fault:
        raise DDBenchError(f"no file {path}", hint="name a TOML file that exists") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise DDBenchError(f"{path} is not valid TOML", str(fault), hint="mend it there") from fault
    except OSError as fault:
        raise DDBenchError(
            f"cannot read {path}", str(fault), hint="name a TOML file that can be read"
        ) from fault


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `change` put in; neither is altered."""
    result = dict(base)
    for name, value in change.items():
        old = result.get(name)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[name] = merged(old, value) if both else value
    return result


def validated(kind: type[Any], raw: Mapping[str, Any], where: str) -> Any:
    """`raw` as a frozen record.

    Raises:
        DDBenchError: all that is wrong with it, one fact a field.
    """
    problem = f"{where} is not a valid {kind.__name__.lower()}"
    strangers = list(_strangers(kind, raw))
    if strangers:
        paths = [path for path, _ in strangers]
        guess = nearest(*strangers[0])
        raise DDBenchError(
            f"{where} has unknown fields: {', '.join(paths)}",
            f"known: {', '.join(strangers[0][1])}",
            hint=f"did you mean '{guess}'?" if guess else "remove them",
        )
    infinite = [path for path, value in _leaves(raw) if not is_finite(value)]
    if infinite:
        facts = [f"{path}: expected a finite number" for path in infinite]
        raise DDBenchError(problem, *facts, hint="mend these fields")
    try:  # by way of JSON, where an array may be a tuple but text is no number
        return TypeAdapter(kind).validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as fault:
        facts = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'][:1].lower()}{e['msg'][1:]}"
            for e in fault.errors()
        ]
        raise DDBenchError(problem, *facts, hint="mend these fields") from fault


def _leaves(raw: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in raw.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _strangers(
    kind: type[Any], raw: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Fields, however deep, that a record does not have, each with those that it has there.

    pydantic passes over them in a standard dataclass.
    """
    hints = typing.get_type_hints(kind)
    known = [f"{prefix}{f.name}" for f in dataclasses.fields(kind)]
    for name, value in raw.items():
        path = f"{prefix}{name}"
        if path not in known:
            yield path, known
        elif isinstance(value, Mapping) and dataclasses.is_dataclass(hints[name]):
            yield from _strangers(hints[name], value, f"{path}.")
