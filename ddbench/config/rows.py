"""The recipe and teachers of a row: a method with other parts, and which of its claims hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

from ddbench.api.card import Claim
from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.recipe import NamedArchitecture, Recipe
from ddbench.api.roles import Labeller
from ddbench.api.types import DatasetInfo
from ddbench.config.terms import replace_matchers, replace_regularizers
from ddbench.pipeline.cell import Cell
from ddbench.registry import Registry

LABELS_OF_REFERENCE = "hard"
"""The labeller of reference rows beside rows whose labels came with their images."""


def make_recipe(method: str, registry: Registry, info: DatasetInfo, ipc: int | None) -> Recipe:
    """Makes a method's recipe for a data set and a number of images per class.

    Raises:
        DDBenchError: there is no such method, or the plug-in's own code failed.
    """
    make = registry.get("recipe", method)
    try:
        return make(info, ipc)
    except DDBenchError:
        raise
    except Exception as fault:
        raise DDBenchError(
            f"the recipe '{method}' failed for {info.name}",
            f"{type(fault).__name__}: {fault}",
            hint="mend the plug-in that it is from, or remove it",
        ) from fault


def make_all_recipes(
    registry: Registry, info: DatasetInfo, ipc: int | None
) -> Iterator[tuple[str, Recipe]]:
    """Makes the recipe of every installed method; one that fails is left out with a warning."""
    for name in registry.names("recipe"):
        try:
            yield name, make_recipe(name, registry, info, ipc)
        except DDBenchError as fault:
            text = f"{fault.problem}: {'; '.join(fault.facts)}"
            warnings.warn(text, DDBenchWarning, stacklevel=2)


def find_teachers(
    text: str, recipe: Recipe, registry: Registry
) -> tuple[NamedArchitecture, tuple[NamedArchitecture, ...]]:
    """Finds a cell's own teacher and its companions: those of `a+b`, or else the recipe's.

    Raises:
        DDBenchError: no such architecture, or one that is named twice.
    """
    names = [name.strip() for name in text.split("+")]
    if len(set(names)) < len(names):
        raise DDBenchError(
            f"the ensemble '{text}' names a teacher twice",
            "expected: different architectures",
            hint=f"--teacher {'+'.join(dict.fromkeys(names))}",
        )
    first, *others = (
        NamedArchitecture(name=name, part=registry.get("architecture", name)) for name in names
    )
    return first, tuple(others) or tuple(c for c in recipe.companions if c.part != first.part)


def drop_learned(cell: Cell, registry: Registry) -> Cell:
    """Returns a reference row's cell without learned labels and rate, unless its images have them.

    Its students are told the classes instead, and trained at the rate of the protocol.
    """
    recipe, learns = cell.recipe, cell.recipe.distiller.learns
    if not recipe.labeller.needs <= learns:
        labeller = registry.get("labeller", LABELS_OF_REFERENCE)
        cell = replace(cell, recipe=replace(recipe, labeller=labeller))
    if cell.protocol.learned_rate and "rate" not in learns:
        cell = replace(cell, protocol=replace(cell.protocol, learned_rate=False))
    return cell


def replace_losses(
    recipe: Recipe, matcher: str, regularizer: str, registry: Registry, info: DatasetInfo, ipc: int
) -> Recipe:
    """Returns the recipe with another matcher, another regularizer, or both; "" keeps its own.

    Claims are those of a known method that is composed of the same parts in the same loop.

    Raises:
        DDBenchError: unknown parts, or a method without losses.
    """
    if not (matcher or regularizer):
        return recipe
    if matcher:
        recipe = replace_matchers(recipe, matcher, registry)
    if regularizer:
        recipe = replace_regularizers(recipe, regularizer, registry)
    if "objective" not in recipe.distiller.needs:
        raise DDBenchError(
            f"method '{recipe.name}' has no losses that could be exchanged",
            "its images are not optimised by matchers and regularizers",
            hint="leave --matcher and --regularizer out, or name a method such as wmdd",
        )
    claims = _find_claims(recipe, registry, info, ipc)
    return replace(recipe, card=replace(recipe.card, title="", claims=claims))


def _find_claims(
    recipe: Recipe, registry: Registry, info: DatasetInfo, ipc: int
) -> tuple[Claim, ...]:
    """Finds the claims of a known method of the same parts, so that an ablation shows them too.

    Other methods may have the same losses and another loop.
    """
    for _, known in make_all_recipes(registry, info, ipc):
        same = (
            name_composition(known) == name_composition(recipe)
            and known.distiller == recipe.distiller
        )
        if same and known.matchers and known.card.claims and not known.baseline:
            return known.card.claims
    return ()


def name_composition(recipe: Recipe) -> str:
    """Names a recipe by its parts: `wasserstein + class_batch_norm`."""
    matchers = "+".join(term.name for term in recipe.matchers) or "none"
    regularizers = "+".join(term.name for term in recipe.regularizers) or "none"
    return f"{matchers} + {regularizers}"


def replace_labeller(recipe: Recipe, labeller: Labeller, claims: tuple[Claim, ...]) -> Recipe:
    """Returns the recipe with another labeller, without what was published under its own.

    Reference rows keep their figures: papers print them beside rows of any labels.

    Args:
        recipe: The recipe, with all its claims.
        labeller: The row's labeller.
        claims: The suite's claims for this row, which stay.
    """
    other = replace(recipe, labeller=labeller)
    keeps = labeller == recipe.labeller or recipe.baseline
    return other if keeps else replace_claims(other, claims)


def replace_claims(recipe: Recipe, claims: tuple[Claim, ...]) -> Recipe:
    """Returns the recipe with other published figures on its card."""
    return replace(recipe, card=replace(recipe.card, claims=claims))
