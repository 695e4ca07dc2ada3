"""Every built-in method's card is complete, and its parts do not contradict each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ddbench_plugins.recipes
from ddbench.registry import load
from ddbench.testing import tiny_info

REGISTRY = load()
NAMES = REGISTRY.names("recipe")
CARDS = {n: REGISTRY.get("recipe", n)(tiny_info(pixels=8), 1).card for n in NAMES}
WITHOUT_PAPER = ("random", "full")
FOLDER = Path(ddbench_plugins.recipes.__file__).parent


def test_every_method_has_a_file_and_every_file_a_method():
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_complete(name):
    card = CARDS[name]
    for field in ("title", "reference", "code", "licence", "objective", "notes", "provenance"):
        assert getattr(card, field), field
    assert all(row.settings for row in card.provenance)
    assert all(claim.source and claim.setting for claim in card.claims)
    assert card.code.startswith("https://") or card.code == "No code was released."
    for field in ("year", "venue", "arxiv", "bibtex"):
        assert bool(getattr(card, field)) != (name in WITHOUT_PAPER), field


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_PAPER])
def test_the_paper_is_the_same_wherever_it_is_named(name):
    card = CARDS[name]
    assert re.fullmatch(r"\d{4}\.\d{5}", card.arxiv)
    assert f"arXiv:{card.arxiv}" in card.reference
    assert str(card.year) in card.reference
    assert card.venue in card.reference
    assert card.bibtex.count("{") == card.bibtex.count("}")
    entries = re.findall(r"^@(?:inproceedings|article)\{(\w+),$", card.bibtex, re.MULTILINE)
    assert entries
    for field in ("title", "author", "year"):
        assert len(re.findall(rf"^  {field} = {{", card.bibtex, re.MULTILINE)) == len(entries)
    assert f"year = {{{card.year}}}" in card.bibtex
    assert card.arxiv in card.bibtex
    assert re.search(rf"\(?{re.escape(card.venue)}\b", card.bibtex)
    authors = re.findall(r"author = \{([^,]+),", card.bibtex)
    plain = card.bibtex.replace("{", "").replace("}", "")
    titles = re.findall(r"^  title = (.+),$", plain, re.MULTILINE)
    assert all(said in card.reference for said in (*authors, *titles))
