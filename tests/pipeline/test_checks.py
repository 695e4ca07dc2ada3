"""Cells that contradict themselves are refused before anything is planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.config.grid import Selection, expand
from ddbench.pipeline.plan import plan


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
