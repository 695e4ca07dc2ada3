"""Named sizes of a run, such as `smoke`: options that recipes and a suite file set by a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.recipe import Recipe

_SHARED = ("squeeze", "relabel", "evaluate", "teacher", "student")
"""Roots of options that a row shares with the reference rows beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The chosen profile, with what the suite file says of it."""

    name: str = ""
    """Its name; "" for none."""
    known: tuple[str, ...] = ()
    """Names of all profiles of the file."""
    set: Mapping[str, str] = field(default_factory=dict)
    """Options that the file's table of this name sets for every method."""
    set_for: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options that it sets for single methods, by the method's name."""

    def options(self, recipe: Recipe) -> dict[str, str]:
        """Returns all options that the profile sets in a recipe's cells; the file's win."""
        own = recipe.profiles.get(self.name, {})
        return {**own, **self.set, **self.set_for.get(recipe.name, {})}

    def mark(self, recipe: Recipe) -> str:
        """Returns the profile's name if it sets options of a recipe's cells, else "".

        A choice of data sets or seeds alone makes the same cells as without the profile.
        """
        return self.name if self.options(recipe) else ""

    def mark_of_reference(self, recipe: Recipe, reference: Recipe) -> str:
        """Returns the same as `mark` for a reference row beside a recipe's rows.

        It shares training and labels with them, and may have options of its own.
        """
        roots = {path.partition(".")[0] for path in self.options(recipe)}
        own = self.set_for.get(reference.name)
        return self.name if own or roots & set(_SHARED) else ""

    def check(self, recipes: Sequence[Recipe]) -> None:
        """Checks that the file has the profile, or else every recipe.

        Raises:
            DDBenchError: neither has it.
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
