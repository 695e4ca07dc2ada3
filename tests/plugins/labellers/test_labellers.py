"""Labellers' losses against torch's own, limits known on paper, and finite differences."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.types import Batch
from ddbench_plugins.labellers import fkd, hard, soft
from ddbench_plugins.labellers._divergence import soften, weighted_kl
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.soft import Soft


def batch_of(count, classes=5, share=0.7, seed=0):
    """A batch of a distilled set of ten images, without the pixels, which no labeller reads."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (10,), generator=rng)
    indices = torch.randperm(10, generator=rng)[:count]
    partners = indices[torch.randperm(count, generator=rng)]
    return Batch(
        images=torch.zeros(count, 1, 1, 1),
        labels=labels[indices],
        weights=torch.ones(count),
        indices=indices,
        partner_labels=labels[partners],
        partner_indices=partners,
        share=share,
    )


def logits_of(count, classes=5, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, generator=rng, dtype=torch.float64) * 3


# -- divergence ------------------------------------------------------------------------------------


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


# -- hard ------------------------------------------------------------------------------------------


def test_hard_is_cross_entropy_against_mixed_labels():
    student, batch = logits_of(4), batch_of(4)
    own, partner = F.one_hot(batch.labels, 5), F.one_hot(batch.partner_labels, 5)
    target = 0.7 * own.double() + 0.3 * partner.double()
    torch.testing.assert_close(Hard().loss(student, batch, None), F.cross_entropy(student, target))


def test_hard_without_mixing_is_cross_entropy():
    student, batch = logits_of(4), batch_of(4, share=1.0)
    expected = F.cross_entropy(student, batch.labels)
    torch.testing.assert_close(Hard().loss(student, batch, None), expected)


def test_hard_weighs_images_by_their_own_weight():
    student, weights = logits_of(4), torch.tensor([2.0, 0.0, 1.5, 0.5])
    batch = replace(batch_of(4), weights=weights)
    own = F.cross_entropy(student, batch.labels, reduction="none")
    partner = F.cross_entropy(student, batch.partner_labels, reduction="none")
    expected = (weights * (0.7 * own + 0.3 * partner)).sum() / 4
    torch.testing.assert_close(Hard().loss(student, batch, None), expected)


def test_hard_smooths_labels():
    student, batch = logits_of(4), batch_of(4, share=1.0)
    smooth = 0.9 * F.one_hot(batch.labels, 5).double() + 0.1 / 5
    found = Hard(label_smoothing=0.1).loss(student, batch, None)
    torch.testing.assert_close(found, F.cross_entropy(student, smooth))


# -- soft ------------------------------------------------------------------------------------------


def test_soft_mixes_the_stored_labels_of_both_images():
    student, bank = logits_of(4), logits_of(10, seed=3)
    batch = replace(batch_of(4), weights=torch.tensor([1.6, 0.4, 1.5, 0.5]))
    expected = 0.0
    for row in range(4):
        own = F.softmax(bank[batch.indices[row]] / 20, 0)
        partner = F.softmax(bank[batch.partner_indices[row]] / 20, 0)
        target = 0.7 * own + 0.3 * partner
        divergence = (target * (target.log() - F.log_softmax(student[row] / 20, 0))).sum()
        expected = expected + batch.weights[row] * divergence / 4
    torch.testing.assert_close(Soft().loss(student, batch, bank), expected)


def test_soft_without_mixing_is_fkd_on_plain_images():
    student, bank, batch = logits_of(4), logits_of(10, seed=3), batch_of(4, share=1.0)
    torch.testing.assert_close(
        Soft(temperature=4.0).loss(student, batch, bank),
        FKD(temperature=4.0).loss(student, batch, bank[batch.indices]),
    )


# -- all -------------------------------------------------------------------------------------------

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
    parts = {
        **hard.ddbench_labellers(),
        **soft.ddbench_labellers(),
        **fkd.ddbench_labellers(),
    }
    assert parts == {"hard": Hard(), "soft": Soft(), "fkd": FKD()}
    asks = {name: part.asks for name, part in parts.items()}
    assert asks == {"hard": "nobody", "soft": "once", "fkd": "views"}
    assert [part.stored for part in (*parts.values(), FKD(store=True))] == [False] * 3 + [True]
