"""The recipe and teachers of a row: a method with other parts, and which of its claims hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.recipe import Claim, NamedArchitecture, Recipe
from ddbench.api.roles import Labeller
from ddbench.api.types import DatasetInfo
from ddbench.config.terms import with_matcher, with_regularizer
from ddbench.registry import Registry


def recipe_of(registry: Registry, method: str, info: DatasetInfo, ipc: int | None) -> Recipe:
    """A method's recipe for a data set.

    Raises:
        DDBenchError: there is none, or the plug-in's own code failed.
    """
    make = registry.get("recipe", method)
    try:
        return make(info, ipc)
    except DDBenchError:
        raise
    except Exception as fault:
        raise DDBenchError(
            f"the recipe '{method}' failed for {info.name}", f"{type(fault).__name__}: {fault}",
            hint="mend the plug-in that it is from, or remove it",
        ) from fault  # fmt: skip


def all_recipes(
    registry: Registry, info: DatasetInfo, ipc: int | None
) -> Iterator[tuple[str, Recipe]]:
    """Every method that there is; one whose recipe fails is left out with a warning, and stops no
    other."""
    for name in registry.names("recipe"):
        try:
            yield name, recipe_of(registry, name, info, ipc)
        except DDBenchError as fault:
            said = f"{fault.problem}: {'; '.join(fault.facts)}"
            warnings.warn(said, DDBenchWarning, stacklevel=2)


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
    more = tuple(others) or tuple(c for c in recipe.companions if c.part != first.part)
    return first, more


def composed(
    recipe: Recipe, matcher: str, regularizer: str, registry: Registry, info: DatasetInfo, ipc: int
) -> Recipe:
    """The recipe with another matcher, another regularizer, both, or as it is for "".

    Raises:
        DDBenchError: unknown parts, or a method without losses.
    """
    if matcher:
        recipe = with_matcher(recipe, matcher, registry)
    if regularizer:
        recipe = with_regularizer(recipe, regularizer, registry)
    if not (matcher or regularizer):
        return recipe
    if "objective" not in recipe.distiller.needs:
        raise DDBenchError(
            f"method '{recipe.name}' has no losses that could be exchanged",
            "its images are not optimised by matchers and regularizers",
            hint="leave --matcher and --regularizer out, or name a method such as wmdd",
        )
    untitled = replace(recipe, card=replace(recipe.card, title=""))
    return with_claims(untitled, _published(recipe, registry, info, ipc))


def _published(
    recipe: Recipe, registry: Registry, info: DatasetInfo, ipc: int
) -> tuple[Claim, ...]:
    """Claims of a known method that is composed of the same parts, so that an ablation by flags
    shows the published figures too. Others may have the same losses and another loop."""
    wanted = composed_name(recipe)
    for _, known in all_recipes(registry, info, ipc):
        same = composed_name(known) == wanted and known.distiller == recipe.distiller
        if same and known.matchers and known.card.claims and not known.baseline:
            return known.card.claims
    return ()


def composed_name(recipe: Recipe) -> str:
    """`wasserstein + class_batch_norm`."""
    matchers = "+".join(term.name for term in recipe.matchers) or "none"
    regularizers = "+".join(term.name for term in recipe.regularizers) or "none"
    return f"{matchers} + {regularizers}"


def relabelled(recipe: Recipe, labeller: Labeller, claims: tuple[Claim, ...]) -> Recipe:
    """The recipe with other labels, for which what was published under its own says nothing.

    Reference rows keep their figures: papers print them beside rows of any labels.

    Args:
        recipe: With all its claims.
        labeller: Of the row.
        claims: Of the suite for this row, which stay.
    """
    changed = replace(recipe, labeller=labeller)
    if labeller == recipe.labeller or recipe.baseline:
        return changed
    return with_claims(changed, claims)


def with_claims(recipe: Recipe, claims: tuple[Claim, ...]) -> Recipe:
    """Returns the recipe with other published figures on its card."""
    return replace(recipe, card=replace(recipe.card, claims=claims))
