"""Recipes: with a card, without one, and written before there were cards."""

from __future__ import annotations

from dataclasses import replace

from ddbench.api.card import Claim, MethodCard
from ddbench.api.recipe import Recipe, Training
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
