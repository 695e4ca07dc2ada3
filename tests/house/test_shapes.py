"""Shapes in signatures are checked, not comments: wrong ones fail while the check is on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = """
import sys
sys.path[:0] = [{tests!r}]
from jaxtyping import TypeCheckError, install_import_hook
install_import_hook(["ddbench", "ddbench_plugins"], "shapes.check")
import torch
from ddbench.api.types import DistilledSet
from ddbench_plugins.distances.transport import squared_distances

def checked(call):
    try:
        call()
    except TypeCheckError as fault:
        print("refused", end=" ")
    else:
        print("taken", end=" ")

rows = torch.rand
"""
CALLS = {
    "dimensions that differ": "squared_distances(rows(4, 3), rows(5, {wrong} or 3))",
    "a dimension too few": "DistilledSet(*[rows(2, 3, 8, 8), rows(2, 3, 8)][:1 + {wrong}][-1:], "
    "torch.zeros(2, dtype=torch.long), rows(2))",
    "another kind of number": "DistilledSet(rows(2, 3, 8, 8), "
    "torch.zeros(2, dtype=torch.float if {wrong} else torch.long), rows(2))",
}
"""A right call where `wrong` is 0, and one with a wrong shape where it is 1 or more."""


@pytest.fixture(scope="module")
def answers() -> list[str]:
    """What becomes of every call, right and then wrong, in one process with the check on."""
    source = CHECKED.format(tests=str(ROOT / "tests"))
    for call in CALLS.values():
        for wrong in (0, 1):
            source += f"checked(lambda: {call.format(wrong=wrong)})\n"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("number", range(len(CALLS)), ids=list(CALLS))
def test_a_wrong_shape_is_refused_and_a_right_one_taken(number: int, answers: list[str]) -> None:
    assert answers[2 * number : 2 * number + 2] == ["taken", "refused"]
