"""Every registered labeller: its gradient by finite differences, half precision, its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench_plugins.labellers import fkd, hard, soft
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.soft import Soft
from tests.doubles.label_batches import batch_of, logits_of

EVERY = [
    (Hard(), None),
    (Hard(label_smoothing=0.1), None),
    (Soft(), 10),
    (Soft(temperature=1.0), 10),
    (FKD(), 4),
    (FKD(temperature=3.0, square_temperature=True), 4),
]


@pytest.mark.parametrize(("part", "rows"), EVERY, ids=str)
def test_gradient_is_that_of_finite_differences(part, rows):
    weights = torch.tensor([0.4, 1.6, 1.0, 1.0], dtype=torch.float64)
    batch = replace(batch_of(4), weights=weights)
    teacher = None if rows is None else logits_of(rows, seed=4)
    student = logits_of(4).requires_grad_(True)
    loss = part.loss(student, batch, teacher)
    assert loss.shape == ()
    assert torch.autograd.grad(loss, student)[0].abs().max() > 1e-4
    torch.autograd.gradcheck(lambda s: part.loss(s, batch, teacher), student, atol=1e-7)


@pytest.mark.parametrize(("part", "rows"), EVERY, ids=str)
def test_half_precision_logits_are_widened(part, rows):
    student = logits_of(4).bfloat16()
    teacher = None if rows is None else logits_of(rows, seed=4).half()
    found = part.loss(student, batch_of(4), teacher)
    wide = None if teacher is None else teacher.double()
    assert found.dtype == torch.float32
    expected = part.loss(student.double(), batch_of(4), wide)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_hooks_name_the_parts_and_what_they_ask():
    parts = {**hard.ddbench_labellers(), **soft.ddbench_labellers(), **fkd.ddbench_labellers()}
    assert parts == {"hard": Hard(), "soft": Soft(), "fkd": FKD()}
    asks = {name: part.asks for name, part in parts.items()}
    assert asks == {"hard": "nobody", "soft": "once", "fkd": "views"}
    assert [part.stored for part in (*parts.values(), FKD(store=True))] == [False] * 3 + [True]
