"""Cells of a stored set: what the user says, else the card; options that bear on it are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ddbench.api.distilled_set import PortableSet
from ddbench.api.errors import DDBenchError
from ddbench.config.session import open_session
from ddbench.config.stored_cells import STORED, Choices, plan_stored_set
from ddbench.data.stored_set import Stored, StoredSet

WHERE = Path("the set")
CARD = {
    "dataset": "digits",
    "method": "dm",
    "classes": [str(digit) for digit in range(10)],
    "student": "convnet3",
    "teacher": "convnet3_bn",
    "labels": "hard",
    "protocol": "dc",
    "seed": 7,
    "given": {"evaluate.epochs": "5", "student.width": "16", "recover.lr": "3"},
}


@pytest.fixture
def session(tmp_path):
    return open_session("cpu", "fp32", cache=tmp_path / "cache")


def distilled(**changes):
    card = {**CARD, **changes.pop("card", {})}
    images = torch.zeros(10, 1, 8, 8, dtype=torch.uint8)
    plain = PortableSet(images=images, labels=torch.arange(10), pixels="bytes", card=card)
    return replace(plain, **changes)


def cells(session, whole, **choices):
    chosen = Choices(seeds=1, **choices)
    plans = plan_stored_set(whole, chosen, session, session.evaluators([]), WHERE)
    return [plan.cell for plan in plans]


def test_the_card_decides_what_the_user_leaves_open(session):
    (cell,) = cells(session, distilled())
    assert isinstance(cell.recipe.distiller, StoredSet)
    assert (cell.method, cell.recipe.card.title, cell.ipc, cell.seed) == ("dm", "DM", 1, 7)
    assert (cell.student.name, cell.teacher.name, cell.labels) == (
        "convnet3",
        "convnet3_bn",
        "hard",
    )
    assert cell.protocol.name == "dc"
    assert cell.protocol.training.epochs == 5
    assert cell.student.part.width == 16
    assert not cell.recipe.matchers


def test_options_of_parts_that_the_user_replaces_are_dropped(session):
    (cell,) = cells(session, distilled(), protocol="ddbench-v1", students=("convnet3_bn",))
    assert (cell.student.name, cell.protocol.name) == ("convnet3_bn", "ddbench-v1")
    assert cell.overrides == {}


def test_a_set_of_an_unknown_method_stands_beside_random(session):
    rows = [c.method for c in cells(session, distilled(card={"method": "new"}), reference=True)]
    assert rows == ["new", "random", "full"]


def test_learned_labels_and_rate_are_the_sets_own(session):
    whole = distilled(soft_labels=torch.rand(10, 10), rate=0.25, card={"labels": ""})
    (cell,) = cells(session, whole, learned_rate=True)
    assert isinstance(cell.recipe.labeller, Stored)
    assert cell.protocol.training.lr == 0.25
    (cell,) = cells(session, whole, labels="hard")
    assert cell.labels == "hard"


@pytest.mark.parametrize(
    ("card", "choices", "problem"),
    [
        ({"student": ""}, {}, "the set does not say which network its students are"),
        ({"labels": ""}, {}, "the set does not say how its images are labelled"),
        ({}, {"labels": STORED}, "the set holds no labels"),
        ({}, {"learned_rate": True}, "the set holds no learned step size"),
    ],
)
def test_what_nobody_says_is_asked_for(session, card, choices, problem):
    with pytest.raises(DDBenchError, match=problem) as caught:
        cells(session, distilled(card=card), **choices)
    assert caught.value.hint
