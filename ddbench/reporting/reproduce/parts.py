"""Builds parts from the way in which a record spells them: the inverse of `store.keys.spell`."""

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


def build_part(spelt: Any, registry: Registry) -> Any:
    """Builds the frozen dataclass that `["module:Class/version", {option: value}]` means.

    Only classes of ddbench and of loaded plug-ins are looked at, and nothing is imported: a record
    is a stranger's file, and must not choose what code runs.

    Raises:
        UnknownPartError: no such class, another version of it, or an option that it does not have.
    """
    if not is_part(spelt):
        raise UnknownPartError(f"{str(spelt)[:80]!r} is no part", "expected: [name, options]")
    name, options = spelt
    kind = _find_class(name, registry)
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    if unknown := sorted(set(options) - fields):
        raise UnknownPartError(
            f"{name} has no option {', '.join(unknown)} here",
            hint="run it with the ddbench that made it: the record names version and commit",
        )
    hints = _read_hints(kind)
    values = {
        option: _build_value(value, hints.get(option, Any), f"{name}.{option}", registry)
        for option, value in options.items()
    }
    try:
        return kind(**values)
    except TypeError as fault:
        raise UnknownPartError(f"{name} cannot be made of its record", str(fault)) from fault


def _find_class(name: str, registry: Registry) -> type[Any]:
    path, _, version = name.rpartition("/")
    kind: Any = next(iter(identified_classes(registry.packages).get(path, ())), None)
    if kind is None or not kind.__dataclass_params__.frozen:
        raise UnknownPartError(
            f"{path} is not installed here", hint="install the plug-in that provides it"
        )
    here = str(getattr(kind, "version", 1))
    if here != version:
        raise UnknownPartError(
            f"{path} is version {here} here and {version} in the record",
            hint="run it with the ddbench that made it: the record names version and commit",
        )
    return kind


def _read_hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError:  # a plug-in whose types are imported for type checkers only
        return {}


def _build_value(value: Any, hint: Any, where: str, registry: Registry) -> Any:
    """Returns a value of the declared type; parts inside of it are built first."""
    if is_part(value):
        return build_part(value, registry)
    if isinstance(value, list) and any(is_part(item) for item in value):
        return tuple(_build_value(item, Any, where, registry) for item in value)
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        return _freeze(adapter.validate_python(value))
    except ValidationError as fault:
        raise UnknownPartError(
            f"{where} cannot be {value!r}",
            fault.errors()[0]["msg"],
            hint="the record was altered, or made by another ddbench",
        ) from fault


def _freeze(value: Any) -> Any:
    """Makes tuples of lists: parts are hashed, and JSON knows no tuples."""
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
