"""Recipes with and without a card; numbers that no training and no protocol can have."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from ddbench.api.card import Claim, MethodCard
from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Protocol, Recipe, Training
from ddbench_plugins.distillers.select import RandomSelection
from ddbench_plugins.labellers.hard import Hard

PARTS = {"squeeze": Training(epochs=1), "distiller": RandomSelection(), "labeller": Hard()}
CLAIM = Claim(dataset="digits", ipc=1, student="", value=50.0)


def test_a_recipe_without_a_card_is_called_by_its_name():
    assert Recipe(name="mine", **PARTS).card == MethodCard(title="mine")
    card = MethodCard(title="Mine", claims=(CLAIM,))
    assert Recipe(name="mine", card=card, **PARTS).card is card


def test_words_given_to_the_recipe_itself_are_on_its_card():
    words = {"title": "Mine", "claims": (CLAIM,), "notes": ("one",), "licence": "MIT"}
    recipe = Recipe(name="mine", **PARTS, **words)
    assert recipe == Recipe(name="mine", card=MethodCard(**words), **PARTS)
    other = replace(recipe, name="other", title="Other", claims=())
    assert other.card == MethodCard(title="Other", notes=("one",), licence="MIT")
    assert recipe.card.title == "Mine"


def test_no_field_of_a_card_is_one_of_a_recipe():
    assert not {f.name for f in fields(MethodCard)} & {f.name for f in fields(Recipe)}


TRAINING = Training(epochs=2)
NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "1 or more"),
        ({"batch_size": 0}, "1 or more"),
        ({"lr": -0.1}, "0 or more"),
        ({"lr": NAN}, "0 or more"),
        ({"weight_decay": -1.0}, "0 or more"),
        ({"momentum": 1.0}, "0 to below 1"),
        ({"label_smoothing": 1.5}, "0 to 1"),
        ({"warmup": 1.0}, "0 to below 1"),
    ],
    ids=str,
)
def test_a_training_out_of_range_is_refused_when_it_is_made(change, expected):
    (name,) = change
    with pytest.raises(DDBenchError, match=rf"^{name} is ") as caught:
        replace(TRAINING, **change)
    assert caught.value.facts == (f"expected: {expected}",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"crop": (0.5, 2.0)}, "0 < smallest <= largest <= 1"),
        ({"crop": (0.0, 1.0)}, "0 < smallest <= largest <= 1"),
        ({"ratio": (2.0, 1.0)}, "0 < smallest <= largest"),
        ({"mix_alpha": 0.0}, "above 0"),
    ],
    ids=str,
)
def test_an_augmentation_out_of_range_is_refused_when_it_is_made(change, expected):
    with pytest.raises(DDBenchError) as caught:
        Augmentation(**change)
    assert caught.value.facts == (f"expected: {expected}",)


def test_operations_that_do_not_exist_are_refused():
    with pytest.raises(DDBenchError, match="no operation 'colour'"):
        Augmentation(one_of="colour")


def test_options_that_contradict_each_other_are_refused_once_all_are_set():
    plain = replace(TRAINING, momentum=0.0, nesterov=True, optimizer="sgd")
    with pytest.raises(DDBenchError, match=re.escape("squeeze.nesterov is True")):
        plain.check("squeeze")
    replace(plain, momentum=0.9).check("squeeze")
    protocol = Protocol(name="p", training=TRAINING, holdout=0.2, holdout_every=0)
    with pytest.raises(DDBenchError, match=re.escape("evaluate.holdout_every is 0")):
        protocol.check()
    smooth = replace(protocol, training=replace(TRAINING, label_smoothing=0.1), holdout=0.0)
    with pytest.raises(DDBenchError, match=re.escape("evaluate.label_smoothing changes nothing")):
        smooth.check()


@pytest.mark.parametrize("change", [{"holdout": 1.5}, {"zca": -1.0}, {"zca": NAN}], ids=str)
def test_a_protocol_out_of_range_is_refused_when_it_is_made(change):
    (name,) = change
    with pytest.raises(DDBenchError, match=rf"^{name} is "):
        Protocol(name="p", training=TRAINING, **change)


def test_numbers_at_the_borders_are_taken():
    view = Augmentation(crop=(1.0, 1.0), ratio=(1.0, 1.0), mix_alpha=0.1)
    training = Training(
        epochs=1, batch_size=1, lr=0.0, momentum=0.0, weight_decay=0.0, augmentation=view
    )
    Protocol(name="p", training=training, holdout_every=0).check()
    replace(training, label_smoothing=1.0).check("squeeze")
