"""Stored views fit each other and the images, and chance tells whose labels they are."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.api.distilled_set import check_set
from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import measure_agreement
from ddbench.testing.formats import tiny_sets


def test_agreement_is_counted_against_chance() -> None:
    """By hand: views show classes {0,1}, {1}, {2,0}, {1,2}; guesses 0, 1, 1, 0."""
    own, other = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 1, 0, 2])
    found, chance, deviation = measure_agreement(torch.tensor([0, 1, 1, 0]), own, other)
    assert found == 0.5
    assert chance == pytest.approx((2 * 2 / 4 + 2 * 3 / 4) / 4)  # 0 is shown by 2 of 4, 1 by 3
    assert deviation == pytest.approx(math.sqrt(0.625 * 0.375 / 4))


WRONG = [
    ({"batches": (4, 4)}, r"logits are \(2, 6, 3\) in batches of \(4, 4\)"),
    ({"rows": torch.zeros(2, 6, dtype=torch.long)}, "do not show every image once"),
    ({"partners": torch.full((2, 6), 4)}, "partners are not of the batch"),
    ({"shares": None}, "some say how views were mixed"),
    ({"crops": torch.full((2, 6, 4), 0.6)}, "crops leave the image"),
    ({"boxes": torch.tensor([0, 0, 9, 4]).expand(2, 2, 4)}, "boxes leave the image"),
    ({"flips": torch.zeros(2, 5, dtype=torch.bool)}, r"flips are \(2, 5\)"),
    ({"logits": torch.zeros(2, 6, 2)}, "logits have 2 classes"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_views_that_do_not_fit(change: dict[str, Any], said: str) -> None:
    whole = tiny_sets()["stored views"]
    assert whole.views is not None
    views = copy.copy(whole.views)
    for name, value in change.items():  # without the check of shapes that tests make of new ones
        object.__setattr__(views, name, value)
    with pytest.raises(DDBenchError, match=said):
        check_set(replace(whole, views=views), "it")
