"""Reads `0.5*wasserstein[norm=l2]+cross_entropy` and puts parts into the place of others."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import MatcherTerm, Recipe, RegularizerTerm
from ddbench.api.roles import Evaluator
from ddbench.api.toml_files import is_finite
from ddbench.config.overrides import changed, parse_assignment
from ddbench.registry import Registry

_TERM = re.compile(
    r"^\s*(?:(?P<weight>[0-9.eE+-]*[0-9.])\s*\*\s*)?(?P<name>[^\[\]*]+?)\s*(?:\[(?P<options>.*)\])?\s*$"
)

_PLUS = re.compile(r"(?<![0-9.][eE])\+(?![^\[]*\])")
"""Not that of `1e+5`, and not one between brackets."""


@dataclasses.dataclass(frozen=True, slots=True)
class ParsedTerm:
    name: str
    weight: float | None
    options: tuple[tuple[str, str], ...]


def parse_terms(text: str) -> list[ParsedTerm]:
    """The terms of a sum: `weight*name[option=value,…]`, joined by `+`.

    Raises:
        DDBenchError: not of that form.
    """
    found = []
    for piece in _PLUS.split(text):
        match = _TERM.match(piece)
        if match is None:
            raise DDBenchError(
                f"cannot read '{text}'",
                "expected: NAME, WEIGHT*NAME, NAME[OPTION=VALUE,…], joined by +",
                hint="for example 0.5*cross_entropy+wasserstein[norm=l2]",
            )
        try:
            weight = None if match["weight"] is None else float(match["weight"])
        except ValueError as fault:
            raise DDBenchError(f"cannot read the weight in '{piece.strip()}'") from fault
        if not is_finite(weight):
            raise DDBenchError(
                f"the weight in '{piece.strip()}' is infinite", "expected: a finite number",
                hint="give it a smaller one",
            )  # fmt: skip
        options = tuple(parse_assignment(o) for o in (match["options"] or "").split(",") if o)
        found.append(ParsedTerm(match["name"], weight, options))
    return found


def with_matcher(recipe: Recipe, text: str, registry: Registry) -> Recipe:
    """The recipe with other matchers. Options that a replaced part has too are carried over."""
    terms = tuple(
        MatcherTerm(**_term(parsed, "matcher", recipe.matchers, 1.0, registry))
        for parsed in parse_terms(text)
    )
    return replace(recipe, matchers=_without_none(terms))


def with_regularizer(recipe: Recipe, text: str, registry: Registry) -> Recipe:
    """The recipe with other regularizers, at the weight of its first unless a weight is given."""
    weight = recipe.regularizers[0].weight if recipe.regularizers else 1.0
    terms = tuple(
        RegularizerTerm(**_term(parsed, "regularizer", recipe.regularizers, weight, registry))
        for parsed in parse_terms(text)
    )
    return replace(recipe, regularizers=_without_none(terms))


def chosen_evaluator(text: str, registry: Registry) -> tuple[str, Evaluator]:
    """Name and part of `NAME` or `NAME[OPTION=VALUE,…]`.

    Raises:
        DDBenchError: nobody provides it, it has no such option, or it has a weight.
    """
    hint = "give several evaluators by commas, without weights"
    return chosen_part("evaluator", "--evaluator", text, registry, hint)


def chosen_part(
    kind: str, flag: str, text: str, registry: Registry, hint: str = ""
) -> tuple[str, Any]:
    """Name and part of `NAME` or `NAME[OPTION=VALUE,…]`, as a flag has it.

    Raises:
        DDBenchError: nobody provides it, it has no such option, or it has a weight.
    """
    parsed = parse_terms(text)
    if len(parsed) != 1 or parsed[0].weight is not None:
        raise DDBenchError(
            f"cannot read the {kind} '{text}'", "expected: NAME or NAME[OPTION=VALUE,…]",
            hint=hint or f"give one {kind}, without a weight",
        )  # fmt: skip
    name = registry.resolve(kind, parsed[0].name)
    part = registry.get(kind, name)
    for path, value in parsed[0].options:
        origin = f"{flag} {text}"
        part = changed(part, path.split("."), value, origin, f"{kind} '{name}'")
    return name, part


def _without_none(terms: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(term for term in terms if term.name != "none")


def _term(
    parsed: ParsedTerm, kind: str, base: tuple[Any, ...], weight: float, registry: Registry
) -> dict[str, Any]:
    part = registry.get(kind, parsed.name)
    name = registry.resolve(kind, parsed.name)
    same = [term for term in base if type(term.part) is type(part)]
    if same:
        part, weight = same[0].part, same[0].weight
    elif base:
        part = inherit(base[0].part, part)
    for path, value in parsed.options:
        origin = f"{parsed.name}[{path}={value}]"
        part = changed(part, path.split("."), value, origin, f"{kind} '{name}'")
    return {
        "name": name,
        "weight": weight if parsed.weight is None else parsed.weight,
        "part": part,
    }


def inherit(old: Any, new: Any) -> Any:
    """`new` with the plain options that `old` has under the same name, so that an ablation changes
    one thing only: global for per-class statistics, say, under the same norm."""
    plain = (bool, int, float, str)
    names = {f.name for f in dataclasses.fields(new)} & {f.name for f in dataclasses.fields(old)}
    shared = {n: getattr(old, n) for n in names if isinstance(getattr(old, n), plain)}
    kept = {n: v for n, v in shared.items() if type(v) is type(getattr(new, n))}
    return replace(new, **kept)
