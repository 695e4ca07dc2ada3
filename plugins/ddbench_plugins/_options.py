"""Options that are refused where a part is made: before anything is trained."""

from __future__ import annotations

from ddbench.api.errors import DDBenchError


def check_at_least(part: object, **least: float) -> None:
    """Options that are not below what makes sense.

    Raises:
        DDBenchError: one is.
    """
    for name, bound in least.items():
        value = getattr(part, name)
        if not value >= bound:  # nor is what is no number
            raise DDBenchError(f"{name} is {value}", f"expected: {bound:g} or more")
