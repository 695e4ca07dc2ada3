"""Settings from TOML files as frozen values, with errors that name the file and the field."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ddbench.api.card import MethodCard
from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.api.recipe import Protocol
from ddbench.api.types import DatasetInfo


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        DDBenchError: the file is missing, a folder, or malformed.
    """
    if path.is_dir():  # as is `.`, which the argument "$UNSET" means
        raise DDBenchError(f"{path} is a folder", "expected: a TOML file", hint="name a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as fault:
        raise DDBenchError(f"no file {path}", hint="name a TOML file that exists") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise DDBenchError(f"{path} is not valid TOML", str(fault), hint="mend it there") from fault
    except OSError as fault:
        hint = "name a TOML file that can be read"
        raise DDBenchError(f"cannot read {path}", str(fault), hint=hint) from fault


def merge_tables(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` with the leaves of `change` put in; alters neither."""
    result = dict(base)
    for name, value in change.items():
        old = result.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            value = merge_tables(old, value)
        result[name] = value
    return result


def read_protocol(path: Path, info: DatasetInfo) -> Protocol:
    """Reads a protocol from a file, for one data set.

    A file holds `name`, `[training]` and `[training.augmentation]` with the fields of
    `ddbench.api.recipe.Training` and `Augmentation`, and any number of `[[resolution]]` rows:
    the first whose `max_resolution` is not below the data set's replaces what it names.

    Raises:
        DDBenchError: the file is missing, malformed, or has a field that does not exist.
    """
    raw = read_toml(path)
    rows = _read_rows(raw.pop("resolution", []), path)
    raw.setdefault("name", path.stem)
    protocol = validate(Protocol, raw, str(path))
    # Every row is validated, so that a mistake in one is found whatever the data set.
    by_size = [
        (most, validate(Protocol, merge_tables(raw, change), f"{path}, max_resolution {most}"))
        for most, change in rows
    ]
    return next((small for most, small in by_size if info.resolution <= most), protocol)


def _read_rows(raw: Any, path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Returns the `[[resolution]]` tables by size: the largest resolution, and what changes."""
    rows: list[Any] = raw if isinstance(raw, list) else [raw]
    sized = all(isinstance(row, dict) and type(row.get("max_resolution")) is int for row in rows)
    if not sized or not isinstance(raw, list):
        raise DDBenchError(
            f"{path} has a row of resolutions that cannot be read",
            "expected: [[resolution]] tables, each with max_resolution = PIXELS",
            hint="give every row its max_resolution, a whole number",
        )
    return sorted(((row.pop("max_resolution"), row) for row in rows), key=lambda row: row[0])


@cache
def read_card(path: Path) -> MethodCard:
    """Reads the card of a method from a file, whose keys are the fields of `MethodCard`.

    A table of `claims` may hold `rows`: each is a claim, with what the table says of all of them.
    A file with `like = "wmdd"` takes what it leaves out from `wmdd.toml` beside it, which has no
    `like` itself. Every file is read once in a process.

    Raises:
        DDBenchError: the file is missing, malformed, or has a field that is unknown or wrong.
    """
    raw = read_toml(path)
    if "like" in raw:
        raw = {**read_toml(path.with_name(f"{raw.pop('like')}.toml")), **raw}
    if isinstance(raw.get("claims"), list):
        raw["claims"] = list(_list_claims(raw["claims"]))
    return validate(MethodCard, raw, str(path))


def _list_claims(tables: list[Any]) -> Iterator[Any]:
    """Yields one table a claim; what is no table is left for the validation to refuse."""
    for table in tables:
        rows = table.pop("rows", [{}]) if isinstance(table, dict) else [table]
        for row in rows if isinstance(rows, list) else [rows]:
            yield {**table, **row} if isinstance(row, dict) else row


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def validate(kind: type[Any], raw: Mapping[str, Any], where: str) -> Any:
    """Returns a table as a frozen dataclass.

    Args:
        kind: The dataclass, of options or with a `__pydantic_config__` that forbids other fields.
        raw: Its fields by name, those of inner dataclasses as inner tables.
        where: How errors call the table.

    Raises:
        DDBenchError: all that is wrong with it, one fact a field.
    """
    try:  # by way of JSON, where an array may be a tuple but text is no number
        return _adapter(kind).validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as fault:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
        raise explain(fault, kind, f"{where} is not a valid {name}") from fault


def explain(fault: ValidationError, kind: type[Any], problem: str) -> DDBenchError:
    """Returns what pydantic refused, with one fact a field, and the nearest name as a hint.

    Args:
        fault: pydantic's.
        kind: The dataclass or model that was validated.
        problem: What the error is to say first.
    """
    facts, hint = [], ""
    for error in fault.errors():
        path = ".".join(map(str, error["loc"]))
        if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _list_fields(kind, error["loc"][:-1])
            guess = find_nearest(str(error["loc"][-1]), known)
            facts.append(f"{path}: no such field; known: {', '.join(known)}")
            hint = hint or (f"did you mean '{guess}'?" if guess else "")
        else:
            facts.append(f"{path}: {_explain_error(error)}")
    return DDBenchError(problem, *facts, hint=hint or "mend these fields")


def _list_fields(kind: Any, place: Sequence[Any]) -> list[str]:
    """Returns the fields of what lies in a dataclass or model at a place, such as ("claims", 0)."""
    for step in place:
        inner = typing.get_args(kind) if isinstance(step, int) else ()
        kind = inner[0] if inner else typing.get_type_hints(kind)[step]
    return list(getattr(kind, "model_fields", None) or (f.name for f in dataclasses.fields(kind)))


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
    "list_type": "a list",
    "tuple_type": "a list",
}
"""What a field may be, by the names that pydantic gives to its errors."""


def _explain_error(error: Any) -> str:
    """Returns what is wrong with one field, in words."""
    if error["type"] == "too_short":
        return "expected one value or more, found none"
    if error["type"] == "missing":
        return "is missing"
    expected = _EXPECTED.get(error["type"]) or error.get("ctx", {}).get("expected")
    if expected:
        return f"expected {expected}, found {error['input']!r}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}"
