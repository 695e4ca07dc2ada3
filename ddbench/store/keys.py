"""Content keys: canonical JSON of a specification, hashed with the keys of what it builds on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, TypeAlias

from ddbench.api.errors import DDBenchError

Key: TypeAlias = str
KEY_LENGTH = 20
_EXACT = 2**53
"""Below it a float holds every whole number, and a whole float is spelt as one."""


def spell(value: Any) -> Any:
    """Spells a value as a JSON value that says all that makes it what it is.

    A frozen dataclass becomes `["identity/version", {option: value}]`; order of mappings never
    matters; a float below 2^53 and an equal int are spelt alike. A field with the metadata
    `{"added": True}` is left out while it has its default: it came to a class that had keys before.

    Raises:
        DDBenchError: the value is of a kind that has no stable spelling.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind, fields = _form(type(value))
        options = {
            name: spell(getattr(value, name))
            for name, added, default in fields
            if not (added and getattr(value, name) == default)
        }
        return [kind, options]
    if isinstance(value, Mapping):
        return {str(name): spell(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(spell(item) for item in value)
    if isinstance(value, (tuple, list)):
        return [spell(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    raise DDBenchError(
        f"option value {value!r} of type {type(value).__name__} cannot be part of a cache key",
        "expected: numbers, strings, tuples, mappings, or frozen dataclasses of these",
    )


def identity_of(kind: type) -> str:
    """Returns the name by which keys and records know a class, wherever its module lies now.

    That is its own class attribute `identity`, or else `module:Class`. A class that moves, or is
    renamed, says where it was first released: `identity: ClassVar[str] = "old.module:Class"`. A
    subclass does not inherit it, for it is another class.
    """
    return str(vars(kind).get("identity") or f"{kind.__module__}:{kind.__qualname__}")


def identified_classes(packages: Collection[str]) -> dict[str, list[type]]:
    """Lists the dataclasses of the loaded modules of some packages, by their identity.

    Nothing is imported. More than one class under an identity is a fault that the caller tells.
    """
    found: dict[str, list[type]] = {}
    ours = [n for n in list(sys.modules) if n.partition(".")[0] in packages]
    kinds = {k for n in ours for k in vars(sys.modules[n]).values() if isinstance(k, type)}
    for kind in sorted(kinds, key=lambda kind: (kind.__module__, kind.__qualname__)):
        if kind.__module__ in ours and dataclasses.is_dataclass(kind):
            found.setdefault(identity_of(kind), []).append(kind)
    return found


@functools.cache
def _form(kind: type) -> tuple[str, tuple[tuple[str, bool, Any], ...]]:
    """Returns name and version of a dataclass, and name, `added` and default of its fields.

    Looked up once a class: a large grid spells the same few classes thousands of times.
    """
    fields = tuple(
        (f.name, bool(f.metadata.get("added")), f.default) for f in dataclasses.fields(kind)
    )
    return f"{identity_of(kind)}/{getattr(kind, 'version', 1)}", fields


def spell_text(value: Any) -> str:
    """Returns one text for each spelling, whatever the order of its mappings: sorted JSON.

    The cells of a grid share most of their parts: the text of a frozen dataclass is kept.
    """
    if type(value) is str:
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, (bool, str, int, float)):
        return json.dumps(spell(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _spell_dataclass(value)
    if isinstance(value, Mapping):
        return _spell_mapping({str(name): item for name, item in value.items()})
    if isinstance(value, (tuple, list)):
        plain = set(map(type, value)) == {int}  # counts of 1,000 classes
        return f"[{','.join(map(str if plain else spell_text, value))}]"
    return json.dumps(spell(value), sort_keys=True, separators=(",", ":"))


_MOST_TEXTS = 4096
_texts: dict[int, tuple[Any, str]] = {}
"""Frozen dataclasses and their texts, by identity: equal ones may be spelt otherwise, since
True == 1. Each is held here, so that no other can come to have its identity."""


def _spell_dataclass(value: Any) -> str:
    known = _texts.get(id(value))
    if known is not None:
        return known[1]
    form: type = type(value)
    kind, fields = _form(form)
    options = {
        name: getattr(value, name)
        for name, added, default in fields
        if not (added and getattr(value, name) == default)
    }
    text = f"[{encode_basestring_ascii(kind)},{_spell_mapping(options)}]"
    if type(value).__dataclass_params__.frozen:
        if len(_texts) >= _MOST_TEXTS:
            _texts.clear()
        _texts[id(value)] = (value, text)
    return text


def _spell_mapping(items: Mapping[str, Any]) -> str:
    names = sorted(items)
    inside = ",".join(
        f"{encode_basestring_ascii(name)}:{spell_text(items[name])}" for name in names
    )
    return f"{{{inside}}}"


def key_of(*parts: Any) -> Key:
    """Returns the key of a specification and of what it builds on."""
    return hashlib.sha256(spell_text(list(parts)).encode()).hexdigest()[:KEY_LENGTH]
