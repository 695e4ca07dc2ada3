"""The matcher that matches nothing: a loss of zero that adds to others."""

from __future__ import annotations

from ddbench_plugins.matchers.none import Nothing
from tests.doubles.matcher_steps import step_of, tensors


def test_nothing_is_zero_and_adds_to_other_losses() -> None:
    images = tensors(7, 2, 3, 3).requires_grad_()
    loss = Nothing().loss(step_of(Nothing(), images))
    assert loss == 0
    (loss + images.sum()).backward()
    assert images.grad is not None
    assert (images.grad == 1).all()
