"""Protocols from TOML files, with a row of changes for each range of resolutions."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ddbench.errors import DDBenchError
from ddbench.spec import Protocol
from ddbench.types import DatasetInfo


def read_protocol(path: Path, info: DatasetInfo) -> Protocol:
    """The protocol of a file for one data set.

    A file holds `name`, `[training]` and `[training.augmentation]` with the fields of
    `ddbench.spec.Training` and `Augmentation`, and any number of `[[resolution]]` rows: the first
    whose `max_resolution` is not below the data set's replaces what it names.

    Raises:
        DDBenchError: the file is missing, malformed, or has a field that does not exist.
    """
    raw = read_toml(path)
    rows = raw.pop("resolution", [])
    for row in sorted(rows, key=lambda r: r.get("max_resolution", 0)):
        if info.resolution <= row.get("max_resolution", 0):
            raw = merged(raw, {k: v for k, v in row.items() if k != "max_resolution"})
            break
    raw.setdefault("name", path.stem)
    return validated(Protocol, raw, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        DDBenchError: missing or malformed.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as fault:
        raise DDBenchError(f"no file {path}", hint="name a TOML file that exists") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise DDBenchError(f"{path} is not valid TOML", str(fault)) from fault
    except OSError as fault:
        raise DDBenchError(f"cannot read {path}", str(fault)) from fault


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
    import dataclasses

    known = {f.name for f in dataclasses.fields(kind)}
    try:
        result = TypeAdapter(kind, config=None).validate_python(dict(raw))
    except ValidationError as fault:
        facts = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg'][:1].lower()}{e['msg'][1:]}"
            for e in fault.errors()
        ]
        raise DDBenchError(f"{where} is not a valid {kind.__name__.lower()}", *facts) from fault
    extra = sorted(set(raw) - known)
    if extra:
        raise DDBenchError(
            f"{where} has unknown fields: {', '.join(extra)}", f"known: {', '.join(sorted(known))}"
        )
    return result
