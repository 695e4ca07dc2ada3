"""Cells that contradict themselves are refused before anything is planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.config.grid import Selection, expand
from ddbench.pipeline.plan import plan
from tests.doubles.learning import learner


def _plans(registry, **choices):
    return expand(Selection(**{"seeds": 1, "reference": False, **choices}), registry, None)


def test_statistics_without_a_teacher_are_refused(registry):
    (made,) = _plans(registry, methods=("random",))
    selection = made.cell.recipe.distiller

    class Blind(type(selection)):
        statistics = ("any",)

    recipe = replace(made.cell.recipe, distiller=Blind())
    with pytest.raises(DDBenchError, match="reads statistics but needs no teacher"):
        plan(replace(made.cell, recipe=recipe), made.info)


def test_more_images_than_a_class_has_is_an_error(registry):
    with pytest.raises(DDBenchError, match=r"--ipc 500 is more than class .* has"):
        _plans(registry, ipcs=(500,))


def test_an_optimiser_with_nothing_to_optimise_is_an_error(registry):
    with pytest.raises(DDBenchError, match="no matcher and no regularizer"):
        _plans(registry, matchers=("none",), regularizers=("none",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("learned",)}, "the images of method 'wmdd' come without learned labels"),
        (
            {"assignments": {"evaluate.learned_rate": "true"}},
            "the images of method 'wmdd' come without a learned rate",
        ),
    ],
)
def test_what_was_not_learned_cannot_be_used(registry, change, message):
    with pytest.raises(DDBenchError, match=message):
        _plans(registry, **change)


def test_a_learned_rate_takes_the_place_of_the_protocols(registry, monkeypatch):
    """The key knows that it does, and then not which one it would have been."""
    monkeypatch.setitem(registry.parts["recipe"], "learner", learner)

    def key(**options):
        (made,) = _plans(registry, methods=("learner",), assignments=options)
        return made.key

    own = {"evaluate.learned_rate": "true"}
    with pytest.warns(DDBenchWarning, match=r"--set evaluate\.lr changes nothing"):
        assert key(**own) == key(**own, **{"evaluate.lr": "0.5"}) != key()
    assert key(**{"evaluate.lr": "0.5"}) != key()
