"""Coresets: which selection each is, under the labels and the teacher of all methods."""

from __future__ import annotations

import pytest

from ddbench.testing import tiny_info
from ddbench_plugins.distillers.coresets import Herding, KCenter, KMeansNearest
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import teacher_training
from ddbench_plugins.recipes.coresets import ddbench_recipes

PARTS = {"herding": Herding(), "k_center": KCenter(), "kmeans_nearest": KMeansNearest()}


@pytest.mark.parametrize("name", PARTS)
def test_a_coreset_is_its_selection_under_teacher_labels(name):
    info = tiny_info(pixels=32)
    recipe = ddbench_recipes()[name](info, 10)
    assert (recipe.name, recipe.distiller, recipe.labeller) == (name, PARTS[name], FKD())
    assert recipe.squeeze == teacher_training(info)
    assert not recipe.baseline
