"""The command line as a whole: encodings."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from ddbench.cli import main

DIGITS = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"


def test_letters_that_an_encoding_lacks_are_no_traceback(monkeypatch):
    bare = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", bare)
    monkeypatch.setattr(sys, "argv", ["ddbench", "table", "--records", str(DIGITS)])
    with pytest.raises(SystemExit) as stop:
        main()
    bare.flush()
    assert stop.value.code in (0, None)
    assert re.search(rb"\d \? \d+\.\d \(3\)", bare.buffer.getvalue())
