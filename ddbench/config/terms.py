"""Reads sums of parts, `0.5*wasserstein[norm=l2]+cross_entropy`, and replaces parts by others."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import MatcherTerm, Recipe, RegularizerTerm
from ddbench.api.roles import Evaluator
from ddbench.config.overrides import parse_assignment, set_option
from ddbench.registry import Registry

_TERM = re.compile(
    r"^\s*(?:(?P<weight>[0-9.eE+-]*[0-9.])\s*\*\s*)?(?P<name>[^\[\]*]+?)\s*(?:\[(?P<options>.*)\])?\s*$"
)

_PLUS = re.compile(r"(?<![0-9.][eE])\+(?![^\[]*\])")
"""The `+` between terms: not that of `1e+5`, and not one between brackets."""


@dataclass(frozen=True, slots=True)
class ParsedTerm:
    """One term of a sum, as it was written."""

    name: str
    weight: float | None
    options: tuple[tuple[str, str], ...]


def parse_terms(text: str) -> list[ParsedTerm]:
    """Reads the terms of a sum: `weight*name[option=value,…]`, joined by `+`.

    Raises:
        DDBenchError: the text is not of that form, or a weight is infinite.
    """
    terms = []
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
        if weight is not None and not math.isfinite(weight):
            raise DDBenchError(
                f"the weight in '{piece.strip()}' is infinite",
                "expected: a finite number",
                hint="give it a smaller one",
            )
        options = tuple(parse_assignment(o) for o in (match["options"] or "").split(",") if o)
        terms.append(ParsedTerm(match["name"], weight, options))
    return terms


def replace_matchers(recipe: Recipe, text: str, registry: Registry) -> Recipe:
    """Returns the recipe with other matchers; options that a replaced part has too are kept."""
    terms = _make_terms("matcher", text, recipe.matchers, 1.0, registry)
    return replace(recipe, matchers=tuple(MatcherTerm(**term) for term in terms))


def replace_regularizers(recipe: Recipe, text: str, registry: Registry) -> Recipe:
    """Returns the recipe with other regularizers, by default at the weight of its first one."""
    weight = recipe.regularizers[0].weight if recipe.regularizers else 1.0
    terms = _make_terms("regularizer", text, recipe.regularizers, weight, registry)
    return replace(recipe, regularizers=tuple(RegularizerTerm(**term) for term in terms))


def _make_terms(
    kind: str,
    text: str,
    base: Sequence[MatcherTerm | RegularizerTerm],
    weight: float,
    registry: Registry,
) -> Iterator[dict[str, Any]]:
    """Yields name, weight and part of each term of a sum; `none` is no term.

    Args:
        kind: "matcher" or "regularizer".
        text: The sum, as `parse_terms` reads it.
        base: The terms that are replaced: a part of the same class begins as it is there, one of
            another class inherits options of the first.
        weight: Of terms without a weight that are of none of the classes in `base`.
        registry: Where parts are looked up.
    """
    for term in parse_terms(text):
        name, part = registry.resolve(kind, term.name), registry.get(kind, term.name)
        usual = weight
        same = [old for old in base if type(old.part) is type(part)]
        if same:
            part, usual = same[0].part, same[0].weight
        elif base:
            part = _inherit(base[0].part, part)
        for path, value in term.options:
            origin = f"{term.name}[{path}={value}]"
            part = set_option(part, path.split("."), value, origin, f"{kind} '{name}'")
        if name != "none":
            weighed = usual if term.weight is None else term.weight
            yield {"name": name, "weight": weighed, "part": part}


def _inherit(old: Any, new: Any) -> Any:
    """Returns `new` with the plain options that `old` has under the same name.

    So an ablation changes one thing only: global for per-class statistics, say, under one norm.
    """
    plain = (bool, int, float, str)
    names = {f.name for f in fields(new)} & {f.name for f in fields(old)}
    shared = {n: getattr(old, n) for n in names if isinstance(getattr(old, n), plain)}
    kept = {n: v for n, v in shared.items() if type(v) is type(getattr(new, n))}
    return replace(new, **kept)


def choose_evaluator(text: str, registry: Registry) -> tuple[str, Evaluator]:
    """Returns name and part of an evaluator, given as `NAME` or `NAME[OPTION=VALUE,…]`.

    Raises:
        DDBenchError: nobody provides it, it has no such option, or it has a weight.
    """
    hint = "give several evaluators by commas, without weights"
    return choose_part("evaluator", "--evaluator", text, registry, hint)


def choose_part(
    kind: str, flag: str, text: str, registry: Registry, hint: str = ""
) -> tuple[str, Any]:
    """Returns name and part of any kind, given as `NAME` or `NAME[OPTION=VALUE,…]`.

    Args:
        kind: The kind of the part, say "format".
        flag: The flag that names it, for errors.
        text: What the flag says.
        registry: Where the part is looked up.
        hint: What to do about several parts, or a weight.

    Raises:
        DDBenchError: nobody provides it, it has no such option, or it has a weight.
    """
    terms = parse_terms(text)
    if len(terms) != 1 or terms[0].weight is not None:
        raise DDBenchError(
            f"cannot read the {kind} '{text}'",
            "expected: NAME or NAME[OPTION=VALUE,…]",
            hint=hint or f"give one {kind}, without a weight",
        )
    name = registry.resolve(kind, terms[0].name)
    part = registry.get(kind, name)
    for path, value in terms[0].options:
        part = set_option(part, path.split("."), value, f"{flag} {text}", f"{kind} '{name}'")
    return name, part
