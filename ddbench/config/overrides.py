"""Sets single options of a cell, as `--set recover.iterations=200` does, by name and type."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.api.recipe import MatcherTerm, Recipe, RegularizerTerm
from ddbench.pipeline.cell import Cell

_PLACES = {
    "squeeze": ("recipe", "squeeze"),
    "label_squeeze": ("recipe", "label_squeeze"),
    "matcher": ("recipe", "matchers"),
    "regularizer": ("recipe", "regularizers"),
    "recover": ("recipe", "distiller"),
    "relabel": ("recipe", "labeller"),
    "evaluate": ("protocol", "training"),
    "teacher": ("teacher", "part"),
    "student": ("student", "part"),
}
"""Where in a cell the options of a stage or role lie, by the beginning of their paths."""
_OF_PROTOCOL = ("holdout", "holdout_every", "zca", "learned_rate")
"""Options under `evaluate` that are the protocol's own and not its training's."""


def apply(cell: Cell, assignments: Mapping[str, str]) -> Cell:
    """Returns the cell with every assignment made, in order, and remembered in `overrides`.

    Paths begin with a stage or role: `squeeze.epochs` (`label_squeeze.epochs` where labels have a
    teacher of their own), `matcher.norm` (or `matcher.NAME.norm` where there are several),
    `regularizer.weight`, `recover.lr`, `relabel.temperature`, `evaluate.epochs`,
    `evaluate.augmentation.mix`, `teacher.stem` (or `teacher.NAME.stem` for another of an ensemble),
    `student.stem`.

    Raises:
        DDBenchError: no such option, or a value of the wrong type.
    """
    for path, text in assignments.items():
        cell = _apply_one(cell, path, text)
    return replace(cell, overrides={**cell.overrides, **assignments})


def parse_assignment(text: str) -> tuple[str, str]:
    """Splits `path=value` in two.

    Raises:
        DDBenchError: there is no `=`.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise DDBenchError(
            f"cannot read '--set {text}'",
            "expected: --set PATH=VALUE",
            hint="for example --set recover.iterations=200",
        )
    return path.strip(), value.strip()


def _apply_one(cell: Cell, path: str, text: str) -> Cell:
    root, *rest = path.split(".")
    if root not in _PLACES or not rest:
        known = ", ".join(f"{name}.*" for name in _PLACES)
        guess = find_nearest(root, _PLACES)
        misspelt = guess and guess != root
        hint = f"did you mean '{guess}.…'?" if misspelt else "name one of its options"
        raise DDBenchError(f"unknown option '{path}'", f"known: {known}", hint=hint)
    origin = f"{path}={text}"  # it may be of a flag, a suite file or a profile
    if root in ("matcher", "regularizer"):
        return replace(cell, recipe=_set_in_term(cell.recipe, root, rest, text, origin))
    if root == "teacher" and cell.companions:
        return _set_in_ensemble(cell, rest, text, origin)
    if root == "label_squeeze" and cell.recipe.label_squeeze is None:
        raise DDBenchError(
            f"method '{cell.recipe.name}' has no label_squeeze: its labels come from the teacher "
            "that it distils from",
            f"from {origin}",
            hint=f"write squeeze.{'.'.join(rest)}=…",
        )
    place = ("protocol",) if root == "evaluate" and rest[0] in _OF_PROTOCOL else _PLACES[root]
    return set_option(cell, [*place, *rest], text, origin, root)


def _set_in_ensemble(cell: Cell, rest: list[str], text: str, origin: str) -> Cell:
    """Sets an option of one teacher of several: the cell's own, unless another is named."""
    name = cell.teacher.name
    if rest[0] in [teacher.name for teacher in cell.teachers] and len(rest) > 1:
        name, *rest = rest
    first, *others = (
        set_option(teacher, ["part", *rest], text, origin, f"teacher '{name}'")
        if teacher.name == name
        else teacher
        for teacher in cell.teachers
    )
    return replace(cell, teacher=first, companions=tuple(others))


def _set_in_term(recipe: Recipe, root: str, rest: list[str], text: str, origin: str) -> Recipe:
    """Sets an option of one matcher or regularizer; a single one need not be named."""
    terms: Sequence[MatcherTerm | RegularizerTerm] = getattr(recipe, f"{root}s")
    if not terms:
        return recipe  # a reference row has none: the option bears on the other rows
    names = [term.name for term in terms]
    if rest[0] in names and len(rest) > 1:
        chosen, *rest = rest
    elif len(terms) == 1:
        chosen = names[0]
    else:
        raise DDBenchError(
            f"which {root} does '{origin}' mean?",
            f"there are: {', '.join(names)}",
            hint=f"write {root}.{names[0]}.{'.'.join(rest)}=…",
        )
    place = rest if rest == ["weight"] else ["part", *rest]
    options: dict[str, Any] = {
        f"{root}s": tuple(
            set_option(term, place, text, origin, f"{root} '{chosen}'")
            if term.name == chosen
            else term
            for term in terms
        )
    }
    return replace(recipe, **options)


def set_option(value: Any, path: Sequence[str], text: str, origin: str, what: str) -> Any:
    """Returns a frozen dataclass with one option replaced.

    Args:
        value: The dataclass.
        path: The option's name, after those of the inner dataclasses that it lies in.
        text: The new value, as the user wrote it.
        origin: The whole assignment as the user wrote it, for errors.
        what: How errors call the part.

    Raises:
        DDBenchError: no such option, or a value of the wrong type or out of range.
    """
    name, *rest = path
    fields = {f.name for f in dataclasses.fields(value)}
    old = getattr(value, name) if name in fields else None
    if name not in fields or (rest and not dataclasses.is_dataclass(old)):
        raise _no_option(value, ".".join(path), origin, what)
    if rest:
        return replace(value, **{name: set_option(old, rest, text, origin, what)})
    if dataclasses.is_dataclass(old):
        inner = ", ".join(f"{name}.{f.name}" for f in dataclasses.fields(old))
        raise DDBenchError(
            f"{what} option '{name}' is made of options (from {origin})",
            inner,
            hint="set one of these",
        )
    typed = _read_option(type(value), name, text, origin, what)
    try:
        return replace(value, **{name: typed})
    except DDBenchError as fault:  # the part itself refuses the value
        problem = f"{what}: {fault.problem} (from {origin})"
        hint = fault.hint or "give it a value in range"
        raise DDBenchError(problem, *fault.facts, hint=hint) from fault


def _read_option(owner: type[Any], name: str, text: str, origin: str, what: str) -> Any:
    """Returns the value of an option's type that a text means."""
    hint = typing.get_type_hints(owner)[name]
    try:
        raw = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raw = text
    expected = _spell_type(hint)
    try:
        value = _read_value(raw, text, hint)
        default = next(f.default for f in dataclasses.fields(owner) if f.name == name)
        if _is_finite(value) or not _is_finite(default):
            return value
        expected = "finite numbers"
    except (ValidationError, TypeError):
        pass
    raise DDBenchError(
        f"{what} option '{name}' cannot be {text!r} (from {origin})",
        f"expected: {expected}",
        hint="give it such a value",
    )


def _read_value(raw: Any, text: str, hint: Any) -> Any:
    """Returns the value that a type makes of what was given.

    Raises:
        ValidationError: it is none of that type.
        TypeError: the same.
    """
    # Numbers are not read out of strings, nor out of booleans.
    if isinstance(raw, str) and hint in (int, float, bool):
        raise TypeError
    if _holds_boolean(raw) and not _mentions(hint, bool, Any, object, str):
        raise TypeError
    adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    try:
        return adapter.validate_python(raw)
    except ValidationError:
        if isinstance(raw, str) or not _mentions(hint, str):
            raise
        return adapter.validate_python(text)  # names may be digits: layers of nn.Sequential are


def _holds_boolean(raw: Any) -> bool:
    return any(map(_holds_boolean, raw)) if isinstance(raw, list) else isinstance(raw, bool)


def _mentions(hint: Any, *kinds: Any) -> bool:
    """Tells whether a type is one of these, or is made of one at any depth."""
    return hint in kinds or any(_mentions(inner, *kinds) for inner in typing.get_args(hint))


def _is_finite(value: Any) -> bool:
    """Tells whether a value, and all that it holds, is finite."""
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _spell_type(hint: Any) -> str:
    """Spells a type as a reader would say it: `int or 'auto'`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_spell_type, typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint):
        return str(hint).replace("typing.", "")
    return getattr(hint, "__name__", str(hint))


def _no_option(value: Any, path: str, origin: str, what: str) -> DDBenchError:
    options = dict(_walk_options(value))
    guess = find_nearest(path, options)
    listed = ", ".join(f"{n} = {v!r}" for n, v in options.items()) or "none"
    return DDBenchError(
        f"{what} has no option '{path}' (from {origin})",
        f"options: {listed}",
        hint=f"did you mean '{guess}'?" if guess else "leave it out",
    )


def _walk_options(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields path and value of every option of a dataclass and of those in it."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _walk_options(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, inner
