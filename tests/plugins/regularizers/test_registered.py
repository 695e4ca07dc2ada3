"""Every registered regularizer: its gradient by finite differences and at zero, its name."""

from __future__ import annotations

import pytest
import torch

from ddbench_plugins.regularizers import batch_norm, class_batch_norm, l2, none, total_variation
from ddbench_plugins.regularizers._moments import ClassMoments
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm
from ddbench_plugins.regularizers.l2 import L2
from ddbench_plugins.regularizers.none import NoRegularizer
from ddbench_plugins.regularizers.total_variation import TotalVariation
from tests.doubles.regularizer_steps import (
    NETWORK,
    PCBN,
    one_norm,
    random_known,
    some_images,
    step_of,
    step_of_maps,
)

EVERY = [
    *PCBN[::2],
    PCBN[-1],
    BatchNorm(),
    BatchNorm(norm="squared", weighted=True),
    BatchNorm(norm="l2", weighted=True, first_layer=2.0),
    TotalVariation(),
    TotalVariation(diagonals=False),
    L2(),
    NoRegularizer(),
]


@pytest.mark.parametrize("part", EVERY, ids=repr)
def test_gradient_is_that_of_finite_differences(part):
    labels = torch.tensor([1, 0, 1])
    weights = torch.tensor([0.3, 1.0, 0.7], dtype=torch.float64)
    statistics = part.statistics or (ClassMoments(),)
    known = random_known(2, statistics[0])
    images = some_images(3).requires_grad_(True)

    def value(images):
        return part.penalty(step_of(images, labels, weights, known, taps=part.taps(NETWORK)))

    assert value(images).dtype == torch.float64
    assert value(images).shape == ()
    if not isinstance(part, NoRegularizer):
        assert torch.autograd.grad(value(images), images)[0].abs().max() > 1e-3
    torch.autograd.gradcheck(value, images, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "part", [BatchNorm(), ClassBatchNorm(norm="l2"), ClassBatchNorm(), TotalVariation(), L2()]
)
def test_gradient_is_finite_at_zero(part):
    """Where every norm is that of zeros."""
    images = torch.zeros(4, 2, 3, 3, requires_grad=True)
    known = {ClassMoments(): {"0.mean": torch.zeros(1, 2), "0.var": torch.zeros(1, 2)}}
    value = part.penalty(step_of_maps(images, one_norm(2, var=0.0), known=known))
    assert value.item() == 0
    assert torch.autograd.grad(value, images)[0].isfinite().all()


def test_hooks_name_the_parts():
    modules = (batch_norm, class_batch_norm, total_variation, l2, none)
    parts = {}
    for module in modules:
        parts.update(module.ddbench_regularizers())
    assert parts == {
        "batch_norm": BatchNorm(),
        "class_batch_norm": ClassBatchNorm(),
        "total_variation": TotalVariation(),
        "l2": L2(),
        "none": NoRegularizer(),
    }
    assert batch_norm.ddbench_aliases() == {"regularizer:bn": "batch_norm"}
    assert class_batch_norm.ddbench_aliases() == {"regularizer:pcbn": "class_batch_norm"}
