"""Whether a part has the form that its role asks for, told without running anything of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Protocol

from ddbench.api import roles
from ddbench.api.preparation import Preparation
from ddbench.api.recipe import Recipe

ROLES: Mapping[str, type[Any]] = {
    "matcher": roles.Matcher,
    "regularizer": roles.Regularizer,
    "evaluator": roles.Evaluator,
    "distiller": roles.Distiller,
    "labeller": roles.Labeller,
    "dataset": roles.Dataset,
    "architecture": roles.Architecture,
    "format": roles.SetFormat,
    "statistic": roles.Statistic,
    "target": roles.Target,
    "preparation": Preparation,
}
"""Kinds whose parts are dataclasses; recipes and protocols are functions that return them."""


@functools.cache
def members(role: type[Any]) -> frozenset[str]:
    """Names of what a protocol asks for."""
    found: set[str] = set()
    for base in role.__mro__:
        if getattr(base, "_is_protocol", False) and base is not Protocol:
            public = {name for name in vars(base) if not name.startswith("_")}
            found |= public | set(vars(base).get("__annotations__", {}))
    return frozenset(found)


def form_fault(kind: str, part: Any) -> str:
    """What keeps a part from being used at all, in words that follow its name; "" if nothing."""
    if kind not in ROLES:
        expected = "a function" if kind == "recipe" else "a function or the Path of a TOML file"
        return "" if callable(part) else f"is {type(part).__name__}, expected {expected}"
    if isinstance(part, type):
        return f"is a class; hooks return ready-to-use parts: {part.__name__}()"
    if not dataclasses.is_dataclass(part):
        return f"is no dataclass: {type(part).__name__} needs @dataclass(frozen=True, slots=True)"
    options = {field.name for field in dataclasses.fields(part)}
    wanted = members(ROLES[kind]) - {"version"}  # keys ask for it where it is needed
    missing = sorted(name for name in wanted - options if not hasattr(type(part), name))
    return f"lacks what every {kind} has: {', '.join(missing)}" if missing else ""


def recipe_fault(recipe: Any) -> str:
    """The same of what a recipe gave."""
    if not isinstance(recipe, Recipe):
        return f"gave {type(recipe).__name__}, expected Recipe"
    parts = [("matcher", f"matcher '{term.name}'", term.part) for term in recipe.matchers]
    parts += [("regularizer", f"regularizer '{t.name}'", t.part) for t in recipe.regularizers]
    parts += [("architecture", f"teacher '{n.name}'", n.part) for n in recipe.companions]
    parts.append(("distiller", "distiller", recipe.distiller))
    parts.append(("labeller", "labeller", recipe.labeller))
    faults = ((said, form_fault(kind, part)) for kind, said, part in parts)
    return next((f"has a {said} that {fault}" for said, fault in faults if fault), "")
