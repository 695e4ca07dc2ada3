"""Reference rows: what marks them, and that they choose real images."""

from __future__ import annotations

from ddbench.testing import tiny_info
from ddbench_plugins.recipes.baselines import full, random


def test_the_reference_rows_are_these_two(registry):
    info = tiny_info()
    recipes = {name: registry.get("recipe", name)(info, 1) for name in registry.names("recipe")}
    assert [name for name, recipe in recipes.items() if recipe.baseline] == ["full", "random"]


def test_both_choose_real_images_and_one_keeps_them_all():
    info = tiny_info()
    assert full(info, 1).distiller.counts(info, 1) == info.train_counts
    assert random(info, 2).distiller.counts(info, 2) == (2,) * info.num_classes
    assert full(info, 1).distiller.makes == random(info, 1).distiller.makes == "indices"
