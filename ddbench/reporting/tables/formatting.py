"""How numbers, words and the marks of footnotes are written in tables."""

from __future__ import annotations

import math
from collections.abc import Iterable

MISSING = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_percent(value: float) -> str:
    """Writes one decimal: `52.1`."""
    return f"{value:.1f}"


def format_signed(value: float) -> str:
    """Writes one decimal and always a sign: `+9.1`, `−0.8`."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def format_digits(value: int | float, digits: int = 3) -> str:
    """Writes three significant digits without an exponent: `0.0679`, `122`, `1,230`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace("-", "−")


def format_spread(value: float, sd: float | None, unit: str) -> str:
    """Writes a mean and its spread: `52.1 ± 0.9`.

    With one decimal in percent; else three digits of the mean, and the spread to the same place.
    """
    if unit == "%":
        return format_percent(value) + ("" if sd is None else f" ± {format_percent(sd)}")
    text = format_digits(value)
    if sd is None or not math.isfinite(value):
        return text
    places = len(text.partition(".")[2])
    return f"{text} ± {sd:,.{places}f}"


def format_bytes(count: int | float) -> str:
    """Writes bytes for people, in powers of 1,000: `640 B`, `1.2 GB`."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    places = 1 if power and count < 99.95 else 0
    return f"{count:.{places}f} {_UNITS[power]}"


def format_p(p: float | None) -> str:
    """Writes a p to two or three decimals: `0.45`, `0.012`, `<0.001`."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def format_interval(low: float | None, high: float | None) -> str:
    """Writes an interval with one decimal: `[7.0, 11.2]`."""
    if low is None or high is None:
        return MISSING
    return f"[{low:.1f}, {high:.1f}]".replace("-", "−")


def format_ipc(ipc: int | None) -> str:
    """Writes a number of images per class: `IPC 10`, `all images`."""
    return "all images" if ipc is None else f"IPC {ipc}"


def join_words(words: Iterable[object]) -> str:
    """Joins words as a sentence does: `0, 1 and 2`."""
    texts = [str(word) for word in words]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def shorten(text: str, limit: int = 240) -> str:
    """Returns the first line of a reason, cut where it gets long; the record keeps the rest."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= limit else first[: limit - 1].rstrip() + "…"


# -- marks of footnotes: letters, which nobody takes for an exponent -------------------------------

_RAISED = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", strict=True))
_LETTERS = "".join(_RAISED)
"""All but q, which Unicode does not raise."""


def format_mark(position: int) -> str:
    """Writes `a`, `b`, …, `z`, `aa`, `ab`, … for the first, second, … footnote."""
    text = ""
    position += 1
    while position:
        position, digit = divmod(position - 1, len(_LETTERS))
        text = _LETTERS[digit] + text
    return text


def format_marks(positions: Iterable[int]) -> str:
    """Writes the marks of footnotes in order: `a` or `a,b`."""
    return ",".join(format_mark(position) for position in sorted(set(positions)))


def raise_marks(positions: Iterable[int]) -> str:
    """Writes raised letters, `ᵃ` or `ᵃ˒ᵇ`, for where characters alone can be superscripts."""
    return "".join(_RAISED.get(letter, "˒") for letter in format_marks(positions))
