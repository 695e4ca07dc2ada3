"""Marks of footnotes: letters, which nobody takes for an exponent."""

from __future__ import annotations

_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))
_LETTERS = "".join(_RAISED)
"""Without q, which Unicode does not raise."""


def mark(position: int) -> str:
    """`a`, `b`, …, `z`, `aa`, `ab`, … of the first, second, … footnote."""
    text = ""
    position += 1
    while position:
        position, digit = divmod(position - 1, len(_LETTERS))
        text = _LETTERS[digit] + text
    return text


def marks(positions: tuple[int, ...]) -> str:
    """`a` or `a,b`."""
    return ",".join(mark(position) for position in sorted(set(positions)))


def raised(positions: tuple[int, ...]) -> str:
    """`ᵃ` or `ᵃ˒ᵇ`: for where there is no superscript but in the characters."""
    return "".join(_RAISED.get(letter, "˒") for letter in marks(positions))
