"""`--set`: the option exists, the value has its type, and the record remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.config.grid import Selection, expand
from ddbench.config.overrides import apply, parse_assignment, set_option


@pytest.fixture(scope="module")
def cell(registry):
    selection = Selection(seeds=1, reference=False)
    return expand(selection, registry, None)[0].cell


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("recover.iterations", "200", lambda c: c.recipe.distiller.iterations),
        ("recover.crop", "[0.5, 1.0]", lambda c: c.recipe.distiller.crop[0] * 400),
        ("squeeze.epochs", "200", lambda c: c.recipe.squeeze.epochs),
        ("matcher.weight", "200", lambda c: c.recipe.matchers[0].weight),
        ("matcher.target.iterations", "200", lambda c: c.recipe.matchers[0].part.target.iterations),
        ("matcher.wasserstein.weight", "200", lambda c: c.recipe.matchers[0].weight),
        ("regularizer.first_layer", "200", lambda c: c.recipe.regularizers[0].part.first_layer),
        ("relabel.temperature", "200", lambda c: c.recipe.labeller.temperature),
        ("evaluate.epochs", "200", lambda c: c.protocol.training.epochs),
        (
            "evaluate.augmentation.mix_alpha",
            "200",
            lambda c: c.protocol.training.augmentation.mix_alpha,
        ),
        ("evaluate.holdout", "0.5", lambda c: c.protocol.holdout * 400),
        ("evaluate.learned_rate", "true", lambda c: c.protocol.learned_rate * 200),
        ("student.depth", "50", lambda c: c.student.part.depth * 4),
    ],
)  # fmt: skip
def test_every_stage_and_role_can_be_reached(cell, path, text, read):
    changed = apply(cell, {path: text})
    assert read(changed) == 200
    assert changed.overrides == {path: text}


@pytest.mark.parametrize(
    ("path", "text", "problem", "hint"),
    [
        ("recover.iteratons", "5", "recover has no option 'iteratons'", "'iterations'"),
        ("matcher.iterations", "5", "has no option 'iterations'", "'target.iterations'"),
        ("recover.iterations", "many", "cannot be 'many'", ""),
        ("recover.iterations", "1.5", "cannot be '1.5'", ""),
        ("recover.clamp", "7", "cannot be '7'", ""),
        ("matcher.norm", "l3", "cannot be 'l3'", ""),
        ("recovr.lr", "1", "unknown option 'recovr.lr'", "'recover"),
        ("recover", "1", "unknown option 'recover'", ""),
        ("matcher.target", "1", "is made of options", ""),
        ("recover.lr", "inf", "recover option 'lr' cannot be 'inf'", ""),
        ("evaluate.lr", "nan", "expected: finite numbers", ""),
        ("matcher.weight", "1e999", "expected: finite numbers", ""),
        ("recover.crop", "[-inf, 1.0]", "expected: finite numbers", ""),
        ("recover.batch_size", "true", "recover option 'batch_size' cannot be 'true'", ""),
        ("recover.crop", "[true, 1.0]", "recover option 'crop' cannot be '[true, 1.0]'", ""),
    ],
)
def test_mistakes_are_named(cell, path, text, problem, hint):
    with pytest.raises(DDBenchError) as caught:
        apply(cell, {path: text})
    assert problem in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("text", "layer"), [("2", "2"), ("1.10", "1.10"), ("'2'", "2")])
def test_text_may_be_digits(cell, text, layer):
    """Layers of nn.Sequential are called so."""
    told = apply(cell, {"matcher.target.layer": text})
    assert told.recipe.matchers[0].part.target.layer == layer


def test_what_is_infinite_by_default_may_stay_so():
    @dataclass(frozen=True)
    class Patient:
        limit: float = math.inf
        crop: tuple[float, ...] = (1.0,)

    assert set_option(Patient(3.0), ["limit"], "inf", "", "part").limit == math.inf
    with pytest.raises(DDBenchError, match="crop"):
        set_option(Patient(), ["crop"], "[nan]", "", "part")


def test_an_assignment_needs_an_equals_sign():
    assert parse_assignment("a.b = 3") == ("a.b", "3")
    with pytest.raises(DDBenchError, match=r"cannot read '--set recover\.lr'"):
        parse_assignment("recover.lr")
