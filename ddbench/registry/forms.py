"""Checks that a part has the form that its role asks for, without running anything of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ddbench.api import roles
from ddbench.api.distiller import Distiller, Preparation
from ddbench.api.recipe import Recipe

ROLES: Mapping[str, type[Any]] = {
    "matcher": roles.Matcher,
    "regularizer": roles.Regularizer,
    "evaluator": roles.Evaluator,
    "distiller": Distiller,
    "labeller": roles.Labeller,
    "dataset": roles.Dataset,
    "architecture": roles.Architecture,
    "format": roles.SetFormat,
    "statistic": roles.Statistic,
    "target": roles.Target,
    "preparation": Preparation,
    "pretraining": roles.Pretraining,
}
"""Kinds whose parts are dataclasses; recipes and protocols are functions that return them."""


def form_fault(kind: str, part: Any) -> str:
    """Returns what keeps a part from being used at all, in words that follow its name, or "".

    A plain class that has all that its role requires is given the role's defaults.
    """
    if kind not in ROLES:
        expected = "a function" if kind == "recipe" else "a function or the Path of a TOML file"
        return "" if callable(part) else f"is {type(part).__name__}, expected {expected}"
    if isinstance(part, type):
        return f"is a class; hooks return ready-to-use parts: {part.__name__}()"
    if not dataclasses.is_dataclass(part):
        return f"is no dataclass: derive {type(part).__name__} from {ROLES[kind].__name__}"
    own: type = type(part)
    role: type = ROLES[kind]
    missing = roles.complete(own, role)
    return f"lacks what every {kind} has: {', '.join(missing)}" if missing else ""


def recipe_fault(recipe: Any) -> str:
    """Returns what keeps a recipe from being used, in words that follow its name, or ""."""
    if not isinstance(recipe, Recipe):
        return f"gave {type(recipe).__name__}, expected Recipe"
    parts: list[tuple[str, str, Any]] = []
    parts += [("matcher", f"matcher '{term.name}'", term.part) for term in recipe.matchers]
    parts += [("regularizer", f"regularizer '{t.name}'", t.part) for t in recipe.regularizers]
    parts += [("architecture", f"teacher '{n.name}'", n.part) for n in recipe.companions]
    parts.append(("distiller", "distiller", recipe.distiller))
    parts.append(("labeller", "labeller", recipe.labeller))
    faults = ((said, form_fault(kind, part)) for kind, said, part in parts)
    return next((f"has a {said} that {fault}" for said, fault in faults if fault), "")
