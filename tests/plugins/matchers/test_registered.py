"""Every registered matcher: its gradient by finite differences, its name and its defaults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.api.roles import Matcher
from ddbench_plugins.distances import mmd as distances
from ddbench_plugins.matchers import (
    cross_entropy,
    kmeans,
    mean,
    mmd,
    none,
    sliced_wasserstein,
    wasserstein,
)
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.kmeans import KMeans
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.mmd import MaximumMeanDiscrepancy
from ddbench_plugins.matchers.sliced_wasserstein import SlicedWasserstein
from ddbench_plugins.matchers.wasserstein import BarycenterTarget, Wasserstein
from tests.doubles.matcher_steps import step_of, tensors

ALL = {
    "wasserstein": Wasserstein(),
    "wasserstein_l2": Wasserstein(norm="l2"),
    "wasserstein_conv": Wasserstein(target=BarycenterTarget(layer="conv")),
    "sliced_wasserstein": SlicedWasserstein(),
    "kmeans": KMeans(),
    "mean": Mean(),
    "mean_conv": Mean(layer="conv", weighted=False),
    "mmd_rbf": MaximumMeanDiscrepancy(),
    "mmd_rbf_unbiased": MaximumMeanDiscrepancy(biased=False),
    "mmd_linear": MaximumMeanDiscrepancy(kernel="linear"),
    "mmd_polynomial": MaximumMeanDiscrepancy(kernel="polynomial"),
    "mmd_linear_unbiased": MaximumMeanDiscrepancy(kernel="linear", biased=False),
    "cross_entropy": CrossEntropy(),
    "cross_entropy_sum": CrossEntropy(reduction="sum"),
}


@pytest.mark.parametrize("name", ALL)
def test_gradients_to_the_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = torch.tensor(0.8, dtype=torch.float64)  # the adaptive width has no gradient
    monkeypatch.setattr(distances, "adaptive_bandwidth", lambda x, y: fixed)
    matcher = ALL[name]
    images = tensors(7, 2, 3, 3, seed=1).requires_grad_()

    def loss(x: Tensor) -> Tensor:
        return matcher.loss(step_of(matcher, x))

    (gradient,) = torch.autograd.grad(loss(images), images)
    assert gradient.norm() > 1e-4
    assert torch.autograd.gradcheck(loss, (images,), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (cross_entropy, "cross_entropy"),
        (kmeans, "kmeans"),
        (mean, "mean"),
        (mmd, "mmd"),
        (none, "none"),
        (sliced_wasserstein, "sliced_wasserstein"),
        (wasserstein, "wasserstein"),
    ],
)
def test_hooks_provide_matchers(module: Any, name: str) -> None:
    (found,) = module.ddbench_matchers().items()
    assert found[0] == name
    assert isinstance(found[1], Matcher)
    assert found[1] == type(found[1])()
    assert hash(found[1]) == hash(type(found[1])())
    assert type(found[1]).version == 1
