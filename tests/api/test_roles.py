"""Roles: base classes with defaults, members that are misspelt, plain classes that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from ddbench.api.distiller import Distiller
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator, Matcher, Regularizer, complete, members_of
from ddbench.api.types import Metric
from ddbench.registry.forms import ROLES, form_fault
from ddbench.testing import check_part, tiny_network, tiny_step


class Pull(Matcher):
    """The smallest matcher."""

    layer: str = ""

    def loss(self, step):
        return step.images.square().mean()


def test_a_matcher_is_a_class_with_a_loss():
    assert Pull() == Pull(layer="")
    assert Pull.version == 1
    assert (Pull().target, Pull().statistics, Pull().taps(tiny_network())) == (None, (), ())
    assert not Pull().separable
    assert form_fault("matcher", Pull()) == ""
    assert Pull().loss(tiny_step(Pull())) > 0


@pytest.mark.parametrize(
    ("body", "near"),
    [
        ({"seperable": True}, "separable"),
        ({"statistic": property(lambda self: ())}, "statistics"),
        ({"tap": lambda self, network: ()}, "taps"),
        ({"targets": None}, "target"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_misspelt_member_is_refused_when_the_class_is_made(body, near):
    (name,) = body
    with pytest.raises(DDBenchError, match=f"has a member '{name}'") as caught:
        type("Odd", (Matcher,), {"loss": lambda self, step: 0.0, **body})
    assert f"did you mean '{near}'" in caught.value.hint


def test_a_misspelt_annotation_is_refused_too():
    with pytest.raises(DDBenchError, match="has a member 'seperable'"):

        class Odd(Regularizer):
            seperable: ClassVar[bool] = True


def test_options_and_helpers_are_free():
    class Free(Distiller):
        need: int = 1
        stored_at: str = ""

        def _weight(self):
            return 1

        def plan(self):
            return 2

    assert Free().need == 1


def test_what_a_role_requires_is_named():
    class Empty(Evaluator):
        metrics: ClassVar[tuple[Metric, ...]] = (Metric("m"),)

    assert form_fault("evaluator", Empty()) == "lacks what every evaluator has: evaluate"
    assert form_fault("evaluator", Pull()) == "lacks what every evaluator has: evaluate, metrics"


def test_a_plain_class_that_fits_is_given_the_defaults():
    @dataclass(frozen=True, slots=True)
    class Plain:
        weight: float = 1.0

        def penalty(self, step):
            return step.images.square().mean()

    assert form_fault("regularizer", Plain()) == ""
    assert (Plain().version, Plain().statistics, Plain().remember(tiny_step(Pull()))) == (1, (), {})
    assert check_part("regularizer", "plain", Plain()) == ["Plain is defined inside a function: "
        "its key has no import path"]  # fmt: skip


def test_completing_keeps_what_a_class_has():
    @dataclass(frozen=True)
    class Own:
        version: ClassVar[int] = 7
        statistics: tuple[int, ...] = (3,)

    assert complete(Own, Matcher) == ("loss",)
    assert (Own().version, Own().statistics) == (7, (3,))


@pytest.mark.parametrize("kind", ROLES)
def test_no_two_members_of_a_role_are_nearly_alike(kind):
    """Else a right name would be refused in the place of the other."""
    assert len(members_of(ROLES[kind])) == len(set(members_of(ROLES[kind])))
