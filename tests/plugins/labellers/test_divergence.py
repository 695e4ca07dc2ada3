"""The weighted divergence against torch's own and limits known on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench_plugins.labellers._divergence import soften, weighted_kl
from ddbench_plugins.labellers.fkd import FKD
from tests.doubles.label_batches import batch_of, logits_of


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_equal_weights_are_torchs_batch_mean(temperature):
    student, teacher = logits_of(6), logits_of(6, seed=2)
    found = FKD(temperature=temperature).loss(student, batch_of(6), teacher)
    reference = torch.nn.KLDivLoss(reduction="batchmean")
    expected = reference(
        F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    )
    torch.testing.assert_close(found, expected)


def test_weights_of_two_and_zero_leave_the_first_image():
    """methods.md 2.15.11: half of twice KL_1."""
    student, teacher = logits_of(2), logits_of(2, seed=2)
    batch = replace(batch_of(2), weights=torch.tensor([2.0, 0.0]))
    one = FKD().loss(student[:1], batch_of(1), teacher[:1])
    torch.testing.assert_close(FKD().loss(student, batch, teacher), one)
    torch.testing.assert_close(
        FKD().loss(student, replace(batch, weights=batch.weights.flip(0)), teacher),
        FKD().loss(student[1:], batch_of(1), teacher[1:]),
    )


@pytest.mark.parametrize(("temperature", "value"), [(1, 0.7794), (20, 0.7915), (1000, 0.7781)])
def test_scale_of_the_divergence(temperature, value):
    """T² KL tends to 1/2C of the squared centred difference of logits: 7/9 here."""
    student = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0, 2.0, 0.0]], dtype=torch.float64)
    part = FKD(temperature=temperature, square_temperature=True)
    assert float(part.loss(student, batch_of(1), teacher)) == pytest.approx(value, abs=6e-5)
    plain = FKD(temperature=temperature)
    assert float(plain.loss(student, batch_of(1), teacher)) * temperature**2 == pytest.approx(
        value, abs=6e-5
    )


def test_limit_of_the_scale():
    student, teacher = logits_of(1), logits_of(1, seed=2)
    gap = (student - teacher) - (student - teacher).mean()
    part = FKD(temperature=1e5, square_temperature=True)
    limit = gap.square().sum() / (2 * 5)
    torch.testing.assert_close(part.loss(student, batch_of(1), teacher), limit, rtol=1e-3, atol=0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), temperature=st.floats(0.5, 50), shift=st.floats(-20, 20))
def test_divergence_is_zero_for_equal_and_positive_for_other_labels(seed, temperature, shift):
    teacher, other = logits_of(3, seed=seed), logits_of(3, seed=seed + 1000)
    target, weights = soften(teacher, temperature), torch.ones(3)
    assert abs(weighted_kl(teacher + shift, target, weights, temperature)) < 1e-12
    assert weighted_kl(other, target, weights, temperature) > 0


def test_gradient_is_the_difference_of_probabilities():
    """∂/∂s = w (softmax(s/T) − p) / (T b): 1/T² of the textbook's, for small differences."""
    student, teacher = logits_of(3).requires_grad_(True), logits_of(3, seed=2)
    batch = replace(batch_of(3), weights=torch.tensor([0.5, 2.0, 0.5]))
    gradient = torch.autograd.grad(FKD(temperature=20.0).loss(student, batch, teacher), student)[0]
    difference = F.softmax(student / 20, 1) - F.softmax(teacher / 20, 1)
    expected = batch.weights[:, None] * difference / (20 * 3)
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-6, atol=1e-12)


def test_probability_of_zero_is_no_trouble():
    student = torch.tensor([[2.0, 0.0, -1.0]], requires_grad=True)
    loss = weighted_kl(student, torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1), 1.0)
    torch.testing.assert_close(loss, F.cross_entropy(student, torch.tensor([0])))
    assert torch.autograd.grad(loss, student)[0].isfinite().all()
