"""The one error a user may see, in the form problem, facts, hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

STOPPED = "stopped; finished stages are kept, the same command goes on from here"
"""What Ctrl-C is answered."""
STOPPED_CODE = 130
"""A shell's for a program that Ctrl-C ended."""


class DDBenchError(Exception):
    """A mistake that the user can mend: shown without a traceback, exit code 2.

    Args:
        problem: What is wrong, with the value. Lower case, no full stop.
        facts: What was expected or found, one line each.
        hint: One action that mends it.
    """

    def __init__(self, problem: str, *facts: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.facts = facts
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.problem, *(f"  {fact}" for fact in self.facts)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.problem, self.facts, self.hint))


def _rebuild(
    cls: type[DDBenchError], problem: str, facts: tuple[str, ...], hint: str
) -> DDBenchError:
    return cls(problem, *facts, hint=hint)


class DDBenchWarning(UserWarning):
    """Something that was put right or does no harm, but that the user should know of."""


class DivergedError(DDBenchError):
    """A loss became infinite or not a number; the cell gets the status `diverged`."""


class IncompatibleError(DDBenchError):
    """Parts that cannot be combined, say PCBN and a teacher without BatchNorm."""


def format_count(count: int, thing: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`; of dotted names the last segment counts as well."""
    choices = list(known)
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return lowered[close[0]]
    tails = {choice.rsplit(".", 1)[-1].lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower().rsplit(".", 1)[-1], list(tails), n=1, cutoff=0.6)
    return tails[close[0]] if close else None


def unknown(
    kind: str, name: str, known: Iterable[str], *facts: str, hint: str = ""
) -> DDBenchError:
    """The error for a name that nobody provides, with the names that exist and the nearest one."""
    names = sorted(known)
    guess = find_nearest(name, names)
    listed = ", ".join(names) if names else "none"
    advice = f"did you mean '{guess}'?" if guess else hint
    return DDBenchError(f"unknown {kind} '{name}'", f"known: {listed}", *facts, hint=advice)
