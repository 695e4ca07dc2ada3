"""How numbers and the marks of footnotes are written in tables."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def percent(value: float) -> str:
    """One decimal: `52.1`."""
    return f"{value:.1f}"


def signed(value: float) -> str:
    """One decimal and always a sign: `+9.1`, `−0.8`."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits without an exponent: `0.0679`, `122`, `1,230`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{_decimals(rounded, digits)}f}".replace("-", "−")


def with_spread(value: float, sd: float | None, unit: str) -> str:
    """`52.1 ± 0.9` in percent; else three digits of the mean, and the spread to the same place."""
    if unit == "%":
        return percent(value) + ("" if sd is None else f" ± {percent(sd)}")
    text = significant(value)
    if sd is None or not math.isfinite(value):
        return text
    places = len(text.partition(".")[2])
    return f"{text} ± {sd:,.{places}f}"


def size(count: float) -> str:
    """Bytes for people, in powers of 1,000: `640 B`, `1.2 GB`."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    places = 1 if power and count < 99.95 else 0
    return f"{count:.{places}f} {_UNITS[power]}"


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def interval(low: float | None, high: float | None) -> str:
    """`[7.0, 11.2]`."""
    if low is None or high is None:
        return MISSING
    return f"[{low:.1f}, {high:.1f}]".replace("-", "−")


def listed(words: Iterable[object]) -> str:
    """`0, 1 and 2`."""
    found = [str(word) for word in words]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def one_line(text: str, limit: int = 240) -> str:
    """The first line of a reason, cut where it gets long; the record keeps the rest."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= limit else first[: limit - 1].rstrip() + "…"


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


# -- marks of footnotes: letters, which nobody takes for an exponent -------------------------------

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
