"""The inverse of `ddbench.store.keys.spell`: parts from the way in which a record spells them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ddbench.api.errors import DDBenchError
from ddbench.registry import Registry
from ddbench.reporting.tables.row_names import is_part
from ddbench.store.keys import identified_classes


class UnknownPartError(DDBenchError):
    """The record names a part, a version or an option that is not installed here."""


def part_of(spelt: Any, registry: Registry) -> Any:
    """The frozen dataclass that `["module:Class/version", {option: value}]` means.

    Only classes of ddbench and of loaded plug-ins are looked at, and nothing is imported: a record
    is a stranger's file, and must not choose what code runs.

    Raises:
        UnknownPartError: no such class, another version of it, or an option that it does not have.
    """
    if not is_part(spelt):
        raise UnknownPartError(f"{str(spelt)[:80]!r} is no part", "expected: [name, options]")
    name, options = spelt
    kind = _class(name, registry)
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    if unknown := sorted(set(options) - fields):
        raise UnknownPartError(
            f"{name} has no option {', '.join(unknown)} here",
            hint="run it with the ddbench that made it: the record names version and commit",
        )
    hints = _hints(kind)
    values = {
        option: _value(value, hints.get(option, Any), f"{name}.{option}", registry)
        for option, value in options.items()
    }
    try:
        return kind(**values)
    except TypeError as fault:
        raise UnknownPartError(f"{name} cannot be made of its record", str(fault)) from fault


def _class(name: str, registry: Registry) -> type[Any]:
    path, _, version = name.rpartition("/")
    found: Any = next(iter(identified_classes(registry.packages).get(path, ())), None)
    if found is None or not found.__dataclass_params__.frozen:
        raise UnknownPartError(
            f"{path} is not installed here", hint="install the plug-in that provides it"
        )
    here = str(getattr(found, "version", 1))
    if here != version:
        raise UnknownPartError(
            f"{path} is version {here} here and {version} in the record",
            hint="run it with the ddbench that made it: the record names version and commit",
        )
    return found


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError:  # a plug-in whose types are imported for type checkers only
        return {}


def _value(value: Any, hint: Any, where: str, registry: Registry) -> Any:
    """A value of the declared type; parts inside of it are made first."""
    if is_part(value):
        return part_of(value, registry)
    if isinstance(value, list) and any(is_part(item) for item in value):
        return tuple(_value(item, Any, where, registry) for item in value)
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        return _frozen(adapter.validate_python(value))
    except ValidationError as fault:
        raise UnknownPartError(
            f"{where} cannot be {value!r}", fault.errors()[0]["msg"],
            hint="the record was altered, or made by another ddbench",
        ) from fault  # fmt: skip


def _frozen(value: Any) -> Any:
    """Parts are hashed: what JSON calls a list was a tuple."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
