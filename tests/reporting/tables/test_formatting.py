"""How numbers, words and marks are written."""

from __future__ import annotations

import pytest

from ddbench.reporting.tables.formatting import (
    format_bytes,
    format_digits,
    format_interval,
    format_ipc,
    format_mark,
    format_marks,
    format_p,
    format_signed,
    format_spread,
    join_words,
    raise_marks,
    shorten,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_digits(0.060312), "0.0603"),
        (format_digits(121.7), "122"),
        (format_digits(20.44), "20.4"),
        (format_digits(1234.5), "1,230"),
        (format_digits(0.0009996), "0.00100"),
        (format_digits(0), "0"),
        (format_bytes(640), "640 B"),
        (format_bytes(999), "999 B"),
        (format_bytes(1_200_000_000), "1.2 GB"),
        (format_bytes(999_960), "1.0 MB"),
        (format_bytes(123_000), "123 kB"),
        (format_bytes(0), "0 B"),
        (format_signed(-0.04), "0.0"),
        (format_signed(9.06), "+9.1"),
        (format_signed(-3.26), "−3.3"),
        (format_p(None), "–"),
        (format_p(0.0004), "<0.001"),
        (format_p(0.0031), "0.003"),
        (format_p(0.5), "0.50"),
        (format_spread(52.06, 0.94, "%"), "52.1 ± 0.9"),
        (format_spread(0.0603, 0.00412, "s"), "0.0603 ± 0.0041"),
        (format_spread(7.0, None, "%"), "7.0"),
        (format_interval(-1.04, 2), "[−1.0, 2.0]"),
        (format_interval(None, 2), "–"),
        (format_ipc(10), "IPC 10"),
        (format_ipc(None), "all images"),
        (join_words([0, 1, 2]), "0, 1 and 2"),
        (join_words(["a"]), "a"),
        (join_words([]), ""),
        (shorten("\n a \nb"), "a"),
        (shorten("x" * 300), "x" * 239 + "…"),
        (shorten(""), ""),
        (format_marks((1, 0, 1)), "a,b"),
        (format_marks(()), ""),
        (raise_marks((1, 0)), "ᵃ˒ᵇ"),
        (format_mark(0), "a"),
        (format_mark(24), "z"),
        (format_mark(25), "aa"),
        (format_mark(26), "ab"),
    ],
)
def test_what_is_written(text: str, expected: str):
    assert text == expected
