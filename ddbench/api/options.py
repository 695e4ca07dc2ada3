"""Values that are made of options: frozen dataclasses whose annotations say what each may be."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal, dataclass_transform

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt, Predicate

from ddbench.api.errors import DDBenchError


@dataclass(frozen=True)
class Rule(Predicate):
    """A condition on one option that is no plain range: `Annotated[..., Rule(check, "a < b")]`."""

    expected: str = ""
    """Expected values in words, for errors and lists."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Options:
    """A frozen dataclass of options; a subclass needs no decorator.

    Fields are the options. Ranges stand in their annotations, in the words of `annotated_types`:
    `iterations: Annotated[int, Ge(1)] = 300`. They are checked whenever a value is made, and so are
    choices, `Literal["instance", "batch"]`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}
    """How pydantic reads one from a file."""

    def __init_subclass__(cls, kw_only: bool = False, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        for name in vars(cls).get("__annotations__", {}):
            if _is_property(cls, name):  # which would be taken for the option's default
                setattr(cls, name, field())
        dataclass(frozen=True, kw_only=kw_only)(cls)
        for option in fields(cls):
            if _is_property(cls, option.name):  # which could not be assigned to
                setattr(cls, option.name, None)

    def __post_init__(self) -> None:
        """Checks every option; a subclass with checks of its own calls this one first.

        Raises:
            DDBenchError: an option is out of its range.
        """
        kind: type = type(self)
        for name, hint in ranges_of(kind):
            value = getattr(self, name)
            if not allows(hint, value):
                expected = describe_range(hint) or _name(hint)
                raise DDBenchError(f"{name} is {value}", f"expected: {expected}")


def _is_property(kind: type, name: str) -> bool:
    """Tells whether a class has, or inherits, a property of a name."""
    return isinstance(inspect.getattr_static(kind, name, None), property)


@functools.cache
def ranges_of(kind: type) -> tuple[tuple[str, Any], ...]:
    """Returns the options of a dataclass whose annotations restrict them: names and type hints."""
    hints = ((option.name, hint_of(kind, option.name)) for option in fields(kind))
    return tuple((n, h) for n, h in hints if describe_range(h) or typing.get_origin(h) is Literal)


def hint_of(kind: type, name: str) -> Any:
    """Returns the type hint of an option, ranges and all; `Any` where it cannot be evaluated.

    Names that a plug-in imports for type checkers alone cannot be. Hints are looked at one by one,
    for others of the class may need torch.
    """
    for owner in kind.__mro__:
        if name in vars(owner).get("__annotations__", {}):
            alone = types.SimpleNamespace(__annotations__={name: owner.__annotations__[name]})
            known = vars(sys.modules[owner.__module__])
            try:
                return typing.get_type_hints(alone, known, include_extras=True)[name]
            except NameError:
                return Any
    return Any


def allows(hint: Any, value: Any) -> bool:
    """Tells whether a value keeps to the ranges of its hint; other types than it says pass."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is Annotated:
        return allows(inner[0], value) and all(_holds(c, value) for c in _constraints(inner[1:]))
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(choice, value) and allows(choice, value) for choice in inner)
    if origin is tuple and isinstance(value, tuple | list):
        every = inner[:1] * len(value) if inner[-1:] == (...,) else inner
        return all(map(allows, every, value))
    return True


def _is_a(hint: Any, value: Any) -> bool:
    """Tells whether a value is of one choice of a union."""
    if typing.get_origin(hint) is Annotated:
        return _is_a(typing.get_args(hint)[0], value)
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    kind = typing.get_origin(hint) or hint
    accepted = (int, float) if kind is float else kind
    return value is None if kind in (None, types.NoneType) else isinstance(value, accepted)


def _constraints(metadata: tuple[Any, ...]) -> Iterator[BaseMetadata]:
    for one in metadata:
        if isinstance(one, GroupedMetadata):
            yield from _constraints(tuple(one))
        elif isinstance(one, BaseMetadata):
            yield one


_BOUNDS: Mapping[type, str] = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}
"""Names of the bounds' fields, and of the operators that compare with them."""
_WORDS = {"gt": "above", "le": "at most", "lt": "below"}


def _holds(constraint: BaseMetadata, value: Any) -> bool:
    if isinstance(constraint, Predicate):
        return bool(constraint.func(value))
    name = _BOUNDS.get(type(constraint))
    return name is None or bool(getattr(operator, name)(value, getattr(constraint, name)))


def describe_range(hint: Any) -> str:
    """Returns what a hint allows, in words (`0 to below 1`); "" where it restricts nothing."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        own = _describe(list(_constraints(inner[1:])))
        return " and ".join(filter(None, (describe_range(inner[0]), own)))
    if origin in (typing.Union, types.UnionType):
        told = [describe_range(choice) or _name(choice) for choice in inner]
        return ", or ".join(told) if any(map(describe_range, inner)) else ""
    if origin is tuple and any(map(describe_range, inner)):
        each = list(dict.fromkeys(describe_range(item) for item in inner if item is not ...))
        count = "" if ... in inner else f"{len(inner)} numbers, "
        return f"{count}each {each[0]}" if len(each) == 1 else f"{count}{'; '.join(each)}"
    return ""


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    return "none" if hint in (None, types.NoneType) else getattr(hint, "__name__", str(hint))


def _describe(constraints: list[BaseMetadata]) -> str:
    rules = [constraint.expected for constraint in constraints if isinstance(constraint, Rule)]
    named = ((_BOUNDS.get(type(constraint)), constraint) for constraint in constraints)
    bounds = {name: f"{getattr(one, name):g}" for name, one in named if name}
    return " and ".join(filter(None, (_describe_interval(bounds), *rules)))


def _describe_interval(bounds: dict[str, str]) -> str:
    match bounds:
        case {"ge": low, "le": high}:
            return f"{low} to {high}"
        case {"ge": low, "lt": high}:
            return f"{low} to below {high}"
        case {"ge": low}:
            return f"{low} or more"
    return ", ".join(f"{_WORDS[name]} {value}" for name, value in bounds.items())
