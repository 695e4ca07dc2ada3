"""Errors say what is wrong, what was expected and what mends it; names are guessed."""

from __future__ import annotations

import pickle

import pytest

from ddbench.api.errors import (
    DDBenchError,
    DivergedError,
    find_nearest,
    format_count,
    unknown,
)


def test_problem_facts_and_hint_are_lines() -> None:
    fault = DDBenchError("the data are not here", "looked in /a", "and in /b", hint="fetch them")
    assert str(fault) == ("the data are not here\n  looked in /a\n  and in /b\n  hint: fetch them")
    assert str(DDBenchError("short")) == "short"


def test_an_error_survives_another_process() -> None:
    fault = pickle.loads(pickle.dumps(DivergedError("loss is nan", "at 3", hint="lower lr")))
    assert type(fault) is DivergedError
    assert (fault.problem, fault.facts, fault.hint) == ("loss is nan", ("at 3",), "lower lr")


@pytest.mark.parametrize(("count", "said"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells")])
def test_counts_have_their_noun(count: int, said: str) -> None:
    assert format_count(count, "cell") == said


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("wmd", "wmdd"), ("WMDD", "wmdd"), ("iterations", "recover.iterations"),
        ("squeeze.iteration", "recover.iterations"), ("zzz", None),
    ],
)  # fmt: skip
def test_the_nearest_name_is_guessed_by_its_last_segment_too(name: str, guess: str | None) -> None:
    assert find_nearest(name, ["wmdd", "random", "recover.iterations"]) == guess


def test_an_unknown_name_comes_with_those_that_are_known() -> None:
    fault = unknown("method", "wmd", ["wmdd", "random"], "in a.toml", hint="list them")
    assert fault.problem == "unknown method 'wmd'"
    assert fault.facts == ("known: random, wmdd", "in a.toml")
    assert fault.hint == "did you mean 'wmdd'?"
    assert unknown("method", "zzz", ["wmdd"], hint="list them").hint == "list them"
    assert unknown("method", "zzz", []).facts == ("known: none",)
