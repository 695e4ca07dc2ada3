"""Tensors of a distilled set that do not fit each other are refused."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError
from ddbench.testing.formats import tiny_sets

WRONG = [
    ({"images": torch.zeros(2, 3, 4)}, r"images are float32 of shape \(2, 3, 4\)"),
    ({"images": torch.full((6, 3, 8, 8), float("nan"))}, "1152 of 1152 numbers of the images"),
    ({"images": torch.zeros(6, 3, 8, 8, dtype=torch.int32)}, "images are int32"),
    ({"labels": torch.zeros(5, dtype=torch.int64)}, "labels are int64 of shape"),
    ({"labels": torch.full((6,), -1)}, "labels are int64"),
    ({"weights": torch.full((6,), -1.0)}, "weights must be 0 or more"),
    ({"soft_labels": torch.zeros(6, 2)}, r"soft labels are float32 of shape \(6, 2\)"),
    ({"mean": (0.5,)}, r"its mean is \(0.5,\)"),
    ({"std": (0.5, 0.0, 0.5)}, "its std is"),
    ({"card": {"classes": ["a"]}}, "labels up to 2 do not fit its classes"),
    ({"pixels": "bits"}, "unknown kind of pixels 'bits'"),
    ({"rate": float("inf")}, "learned step size is inf"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_tensors_that_do_not_fit(change, said):
    whole = tiny_sets()["learned labels and step size"]
    with pytest.raises(DDBenchError, match=said):
        check_set(spoil(whole, change), "it")


def spoil(whole: PortableSet, change: Mapping[str, Any]) -> PortableSet:
    """Changes fields of a set without the check of types that tests make of new ones."""
    spoilt = copy.copy(whole)
    for name, value in change.items():
        object.__setattr__(spoilt, name, value)
    return spoilt
