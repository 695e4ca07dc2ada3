"""The one error a user may see, in the form problem, facts, hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

STOPPED = "stopped; finished stages are kept, the same command goes on from here"
"""Answer to Ctrl-C."""
STOPPED_CODE = 130
"""Exit code of a program that Ctrl-C ended, by the convention of shells."""


class DDBenchError(Exception):
    """A mistake that the user can mend, shown without a traceback; the exit code is 2.

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
    """A fault that was put right or does no harm, but that the user should know of."""


class DivergedError(DDBenchError):
    """A loss that is infinite or not a number; the cell gets the status `diverged`."""


class IncompatibleError(DDBenchError):
    """Parts that cannot be combined, say PCBN and a teacher without BatchNorm."""


def format_count(count: int, thing: str) -> str:
    """Returns a count with its noun: `1 cell`, `2 cells`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name most like another; of dotted names the last segment counts too."""
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
    """Returns the error for a name that nobody provides, with all names and the nearest one."""
    names = sorted(known)
    guess = find_nearest(name, names)
    listed = ", ".join(names) if names else "none"
    advice = f"did you mean '{guess}'?" if guess else hint
    return DDBenchError(f"unknown {kind} '{name}'", f"known: {listed}", *facts, hint=advice)
