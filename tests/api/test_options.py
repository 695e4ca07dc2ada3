"""Options: ranges in annotations, checked when a value is made, told in words."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, field, fields, replace
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt, Interval
from hypothesis import given
from hypothesis import strategies as st

from ddbench.api.errors import DDBenchError
from ddbench.api.options import Options, Rule, allows, describe_range, hint_of
from ddbench.store.keys import key_of, spell


class Loop(Options):
    """Options of every kind of range."""

    limit: ClassVar[int] = 3
    iterations: Annotated[int, Ge(1)] = 300
    size: Annotated[int, Ge(1)] | Literal["auto"] = 100
    betas: tuple[Annotated[float, Interval(ge=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]] = (
        0.5,
        0.9,
    )
    crop: Annotated[tuple[float, float], Rule(lambda c: c[0] <= c[1], "smallest <= largest")] = (
        0.1,
        1.0,
    )
    later: Annotated[float, Gt(0)] = field(default=1.0, metadata={"added": True})
    norm: Literal["instance", "batch"] = "batch"
    name: str = ""


class Named(Options, kw_only=True):
    """An option without a default after one with one."""

    first: int = 1
    second: int


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"iterations": 0}, "1 or more"),
        ({"size": 0}, "1 or more, or auto"),
        ({"size": "all"}, "1 or more, or auto"),
        ({"betas": (0.5, 1.0)}, "2 numbers, each 0 to below 1"),
        ({"betas": (float("nan"), 0.5)}, "2 numbers, each 0 to below 1"),
        ({"crop": (0.5, 0.2)}, "smallest <= largest"),
        ({"later": 0.0}, "above 0"),
        ({"norm": "layer"}, "instance or batch"),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_named_with_what_is_expected(options, expected):
    (name,) = options
    with pytest.raises(DDBenchError, match=rf"^{name} is ") as caught:
        Loop(**options)
    assert caught.value.facts == (f"expected: {expected}",)


def test_replacing_an_option_checks_it_too():
    with pytest.raises(DDBenchError, match="iterations is -1"):
        replace(Loop(), iterations=-1)


def test_a_subclass_is_a_frozen_dataclass_of_its_options():
    assert [option.name for option in fields(Loop)] == [
        "iterations", "size", "betas", "crop", "later", "norm", "name",
    ]  # fmt: skip
    assert Loop(size="auto", iterations=1) == Loop(1, "auto")
    assert hash(Loop()) == hash(Loop())
    with pytest.raises(FrozenInstanceError):
        Loop().iterations = 2
    assert Named(second=2).first == 1
    assert spell(Loop())[1].keys() == {"iterations", "size", "betas", "crop", "norm", "name"}
    assert key_of(Loop(later=2.0)) != key_of(Loop())


class Base(Options):
    @property
    def target(self) -> int:
        return 0


class WithDefault(Base):
    target: int = field(default_factory=lambda: 3)


class Required(Base):
    target: int


def test_an_option_takes_the_place_of_a_property():
    assert Base().target == 0
    assert (WithDefault().target, WithDefault(target=4).target, Required(5).target) == (3, 4, 5)
    with pytest.raises(TypeError, match="target"):
        Required()


@given(st.floats(), st.floats(-5, 5), st.floats(0, 5), st.booleans())
def test_an_interval_is_its_bounds(value, low, width, open_):
    high = low + width
    hint = Annotated[float, Interval(gt=low, le=high) if open_ else Interval(ge=low, lt=high)]
    inside = low < value <= high if open_ else low <= value < high
    assert allows(hint, value) == inside


def test_what_restricts_nothing_is_no_range():
    assert (
        describe_range(int) == describe_range(int | None) == describe_range(tuple[int, ...]) == ""
    )
    assert describe_range(Annotated[int, "a remark"]) == ""
    assert describe_range(tuple[Annotated[int, Ge(2)], ...]) == "each 2 or more"
    assert describe_range(Annotated[float, Interval(gt=0, lt=1)]) == "above 0, below 1"
    assert describe_range(Annotated[float, Interval(gt=0, le=1)]) == "above 0, at most 1"
    assert describe_range(Annotated[float, Interval(le=1)]) == "at most 1"


def test_a_hint_that_only_type_checkers_know_restricts_nothing():
    class Odd(Options):
        part: "NowhereToBeFound" = None  # noqa: F821

    assert Odd().part is None
    assert describe_range(hint_of(Odd, "part")) == ""
