"""Named sizes of a run, such as `smoke`: what recipes and a suite file change under a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.recipe import Recipe

_SHARED = ("squeeze", "relabel", "evaluate", "teacher", "student")
"""Roots of options that a row shares with the reference rows beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profile that was asked for, as far as the suite file says what it is."""

    name: str = ""
    """"" for none."""
    known: tuple[str, ...] = ()
    """Names of all profiles of the file."""
    set: Mapping[str, str] = field(default_factory=dict)
    """Options that the file's table of this name sets for every method."""
    set_for: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options that it sets for one method."""

    def options(self, recipe: Recipe) -> dict[str, str]:
        """All that the profile changes in a recipe's cells, whoever says so."""
        of_file = {**self.set, **self.set_for.get(recipe.name, {})}
        return {**recipe.profiles.get(self.name, {}), **of_file}

    def mark(self, recipe: Recipe) -> str:
        """The name where the profile changes options of a recipe's cells, else "": a choice of
        data sets or seeds alone makes the same cells as without it."""
        return self.name if self.options(recipe) else ""

    def mark_of_reference(self, recipe: Recipe, reference: Recipe) -> str:
        """The same of a reference row, which shares training and labels with the recipe's rows,
        and may have options of its own."""
        roots = {path.partition(".")[0] for path in self.options(recipe)}
        own = self.set_for.get(reference.name)
        return self.name if own or roots & set(_SHARED) else ""

    def check(self, recipes: Sequence[Recipe]) -> None:
        """The profile means something: the file has it, or every recipe.

        Raises:
            DDBenchError: it does not.
        """
        if not self.name or self.name in self.known:
            return
        lacking = [recipe.name for recipe in recipes if self.name not in recipe.profiles]
        if not lacking:
            return
        names = {*self.known, *(name for recipe in recipes for name in recipe.profiles)}
        if self.name not in names:
            raise unknown("profile", self.name, names, hint="leave --profile away")
        raise DDBenchError(
            f"method '{lacking[0]}' has no profile '{self.name}'",
            f"known: {', '.join(sorted(names))}",
            hint="leave the method out, or say in a suite file what [profile."
            f"{self.name}] is to change",
        )
