"""The page of every method: complete, true to the recipe, and the one that is in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.registry import load
from ddbench.reporting.method_page import render_method_page
from ddbench.testing import tiny_info

REGISTRY = load()
NAMES = REGISTRY.names("recipe")
PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_all_that_a_page_holds(name):
    for pixels, ipc in ((8, 1), (32, 10), (224, 50)):
        recipe = REGISTRY.get("recipe", name)(tiny_info(pixels=pixels), ipc)
        for field in ("title", "objective", "reference", "provenance", "licence", "notes"):
            assert getattr(recipe.card, field), field
        assert all(row.settings for row in recipe.card.provenance)
        assert {row.source for row in recipe.card.provenance} <= {
            "paper",
            "code",
            "second hand",
            "here",
        }
        assert all(claim.source and claim.setting for claim in recipe.card.claims)
        assert recipe.profiles.get("smoke")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_holds_what_its_recipe_says(name):
    page = render_method_page(name, REGISTRY)
    recipe = REGISTRY.get("recipe", name)(tiny_info(pixels=8), 1)
    assert page.startswith(f"# {recipe.card.title} (`{name}`)\n")
    for said in (recipe.card.objective, recipe.card.licence, *recipe.card.notes):
        assert said in page
    for row in recipe.card.provenance:
        assert f"| {row.settings} | {row.source} |" in page
    for claim in recipe.card.claims:
        assert f"| {claim.dataset} | {claim.ipc} |" in page
        assert f"{claim.value:g}" in page
    assert f"`{type(recipe.distiller).__name__}`" in page
    assert f"$ ddbench run --method {name} --profile smoke" in page


def test_settings_stand_beside_the_data_sets_and_ipc_that_they_belong_to():
    lines = render_method_page("dc", REGISTRY).splitlines()
    (head,) = [line for line in lines if line.startswith("| data set and IPC")]
    columns = [cell.strip(" `") for cell in head.strip("|").split("|")]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    (ten,) = [r for r in rows if "cifar10 10" in r[0]]
    told = dict(zip(columns, ten, strict=True))
    assert (told["recover.outer"], told["recover.inner"], told["recover.lr"]) == ("10", "50", "0.1")
    assert "cifar100 10" in told["data set and IPC"]
    (tiny,) = [r for r in rows if r[0] == "digits 50"]
    assert dict(zip(columns, tiny, strict=True))["recover.lr"] == "0.003"
    (everywhere,) = [line for line in lines if line.startswith("Everywhere: ")]
    assert "`recover.momentum=0.5`" in everywhere
    assert "recover.outer" not in everywhere


def test_the_pages_of_the_repository_are_those_of_the_recipes():
    """Mend with: ddbench list methods --pages docs/methods"""
    written = {path.stem: path.read_text() for path in PAGES.glob("*.md")}
    assert sorted(written) == sorted(NAMES)
    assert [name for name in NAMES if written[name] != render_method_page(name, REGISTRY)] == []


def test_a_method_is_shown_by_its_name(ddbench):
    outcome = ddbench("show", "dm")
    assert outcome.code == 0, outcome.err
    assert outcome.out == render_method_page("dm", REGISTRY)
    unknown = ddbench("show", "dmm")
    assert unknown.code == 2
    assert "unknown record 'dmm'" in unknown.err
    assert "did you mean the method 'dm'?" in unknown.err
