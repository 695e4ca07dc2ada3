"""The recipe and teachers of a row, and which published figures still hold for it."""

from __future__ import annotations

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.config.rows import (
    find_teachers,
    make_recipe,
    name_composition,
    replace_labeller,
    replace_losses,
)


@pytest.fixture
def wmdd(registry, info):
    return make_recipe("wmdd", registry, info, 1)


def test_an_ensemble_is_the_cells_own_teacher_and_its_companions(registry, info, wmdd):
    first, others = find_teachers("resnet18 + convnet3", wmdd, registry)
    assert (first.name, [other.name for other in others]) == ("resnet18", ["convnet3"])
    with pytest.raises(DDBenchError, match="names a teacher twice") as caught:
        find_teachers("resnet18+convnet3+resnet18", wmdd, registry)
    assert caught.value.hint == "--teacher resnet18+convnet3"


def test_companions_of_the_recipe_are_kept_but_for_the_first_teacher(registry, info):
    recipe = make_recipe("g_vbsm", registry, info, 1)
    names = [companion.name for companion in recipe.companions]
    assert names
    first, others = find_teachers(names[0], recipe, registry)
    assert first.name == names[0]
    assert [other.name for other in others] == names[1:]


def test_the_claims_of_a_method_of_the_same_parts_are_shown(registry, info, wmdd):
    same = replace_losses(wmdd, "wasserstein", "pcbn", registry, info, 1)
    assert name_composition(same) == name_composition(wmdd) == "wasserstein + class_batch_norm"
    assert same.card.claims == wmdd.card.claims
    other = replace_losses(wmdd, "mmd", "", registry, info, 1)
    assert name_composition(other) == "mmd + class_batch_norm"
    assert other.card.claims == ()
    assert replace_losses(wmdd, "", "", registry, info, 1) is wmdd


def test_other_labels_keep_the_claims_of_the_suite_alone(registry, info, wmdd):
    hard, own = registry.get("labeller", "hard"), wmdd.card.claims[:1]
    assert replace_labeller(wmdd, wmdd.labeller, own).card.claims == wmdd.card.claims
    changed = replace_labeller(wmdd, hard, own)
    assert (changed.labeller, changed.card.claims) == (hard, own)
    baseline = make_recipe("random", registry, info, 1)
    assert replace_labeller(baseline, hard, ()).card.claims == baseline.card.claims
