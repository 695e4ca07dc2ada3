"""Matchers: their numbers by hand, their gradients by finite differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.roles import Matcher
from ddbench.api.types import Activations, Network, Step
from ddbench_plugins.distances import mmd as distances
from ddbench_plugins.distances.mmd import (
    adaptive_bandwidth,
    linear_mmd_squared,
    polynomial_mmd_squared,
    rbf_mmd_squared,
)
from ddbench_plugins.distances.transport import squared_distances
from ddbench_plugins.matchers import (
    cross_entropy,
    kmeans,
    mean,
    mmd,
    none,
    sliced_wasserstein,
    wasserstein,
)
from ddbench_plugins.matchers._atoms import atom_loss
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.kmeans import KMeans
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.none import Nothing
from ddbench_plugins.matchers.sliced_wasserstein import SlicedWasserstein
from ddbench_plugins.matchers.wasserstein import BarycenterTarget, Wasserstein

MMD = mmd.MaximumMeanDiscrepancy
LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 2])
WEIGHTS = torch.tensor([0.2, 0.9, 0.3, 0.1, 0.5, 0.7, 0.3], dtype=torch.float64)
DIM = 5


class Tiny(nn.Module):
    """Smooth, in float64, with a spatial layer and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(2, DIM, 2)
        self.fc = nn.Linear(DIM, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.conv(x)).mean((2, 3)))


NETWORK = Network(Tiny(), "fc")


def tensors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step_of(matcher: Any, images: Tensor, **changes: Any) -> Step:
    """A step as the recover stage makes it, with hooks of its own."""
    found: dict[Any, Any] = {}
    handles = []
    modules = dict(NETWORK.module.named_modules())
    for tap in matcher.taps(NETWORK):

        def before(_: Any, inputs: Any, tap: Any = tap) -> None:
            found[tap] = tap.reduction.reduce(inputs[0])

        def after(_: Any, __: Any, output: Any, tap: Any = tap) -> None:
            found[tap] = tap.reduction.reduce(output)

        module = modules[tap.layer]
        inward = tap.side == "input"
        handles.append(
            module.register_forward_pre_hook(before)
            if inward
            else module.register_forward_hook(after)
        )
    logits = NETWORK.module(images)
    for handle in handles:
        handle.remove()
    step = Step(
        images=images,
        labels=LABELS[: len(images)],
        weights=WEIGHTS[: len(images)],
        atoms=tensors(len(images), DIM, seed=5),
        acts=Activations(logits, found),
        network=NETWORK,
        known=real_features(matcher.statistics),
        progress=0.5,
    )
    return dataclasses.replace(step, **changes)


def real_features(statistics: Any) -> Mapping[Any, dict[str, Tensor]]:
    labels = torch.arange(30) % 3
    return {s: {"features": tensors(30, DIM, seed=7) / 3, "labels": labels} for s in statistics}


def tiny_features(images: Tensor) -> Tensor:
    module = NETWORK.module
    return torch.tanh(module.conv(images)).mean((2, 3))


ALL = {
    "wasserstein": Wasserstein(),
    "wasserstein_l2": Wasserstein(norm="l2"),
    "wasserstein_conv": Wasserstein(target=BarycenterTarget(layer="conv")),
    "sliced_wasserstein": SlicedWasserstein(),
    "kmeans": KMeans(),
    "mean": Mean(),
    "mean_conv": Mean(layer="conv", weighted=False),
    "mmd_rbf": MMD(),
    "mmd_rbf_unbiased": MMD(biased=False),
    "mmd_linear": MMD(kernel="linear"),
    "mmd_polynomial": MMD(kernel="polynomial"),
    "mmd_linear_unbiased": MMD(kernel="linear", biased=False),
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


# -- towards atoms -----------------------------------------------------------------------------


def test_squared_and_unsquared_norm() -> None:
    gap = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert atom_loss(gap, torch.zeros(2, 2), "squared") == 25
    assert atom_loss(gap, torch.zeros(2, 2), "l2") == 5


@pytest.mark.parametrize("part", [Wasserstein, KMeans, SlicedWasserstein])
def test_loss_is_the_distance_of_image_j_to_atom_j(part: Any) -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    atoms = tensors(7, DIM, seed=9)
    by_hand = ((tiny_features(images) - atoms) ** 2).sum()
    squared = part().loss(step_of(part(), images, atoms=atoms))
    unsquared = part(norm="l2").loss(step_of(part(), images, atoms=atoms))
    torch.testing.assert_close(squared, by_hand)
    torch.testing.assert_close(unsquared, by_hand.sqrt())
    swapped = part().loss(step_of(part(), images, atoms=atoms.flip(0)))
    assert (swapped - squared).abs() > 0.1


@pytest.mark.parametrize("norm", ["squared", "l2"])
def test_gradient_at_the_atoms_is_zero(norm: Any) -> None:
    features = tensors(3, DIM).requires_grad_()
    atom_loss(features, features.detach().clone(), norm).backward()
    assert features.grad is not None
    assert (features.grad == 0).all()


def test_the_target_chooses_the_layer() -> None:
    matcher = Wasserstein(target=BarycenterTarget(layer="conv"))
    (tap,) = matcher.taps(NETWORK)
    assert (tap.layer, tap.side) == ("conv", "output")
    assert matcher.target.statistic == Features(layer="conv")
    assert matcher.statistics == ()
    images = tensors(7, 2, 3, 3, seed=1)
    before_tanh = NETWORK.module.conv(images).mean((2, 3))
    step = step_of(matcher, images, atoms=before_tanh.detach())
    assert matcher.loss(step) < 1e-20


def test_float64_atoms_do_not_widen_the_loss() -> None:
    loss = atom_loss(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.float64), "squared")
    assert loss.dtype == torch.float32


# -- class by class ----------------------------------------------------------------------------


def by_hand_means(images: Tensor, weights: Tensor) -> Tensor:
    features = tiny_features(images)
    (known,) = real_features(Mean().statistics).values()
    total = torch.zeros((), dtype=torch.float64)
    for cls in range(3):
        share = weights * LABELS.eq(cls)
        gap = share @ features / share.sum() - known["features"][known["labels"] == cls].mean(0)
        total = total + (gap**2).sum()
    return total


def test_mean_by_hand() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    weighted = Mean().loss(step_of(Mean(), images))
    torch.testing.assert_close(weighted, by_hand_means(images, WEIGHTS))
    plain = Mean(weighted=False).loss(step_of(Mean(), images))
    torch.testing.assert_close(plain, by_hand_means(images, torch.ones_like(WEIGHTS)))
    assert (plain - weighted).abs() > 1e-4


def test_linear_mmd_is_the_gap_of_the_means() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    part = MMD(kernel="linear")
    torch.testing.assert_close(part.loss(step_of(part, images)), by_hand_means(images, WEIGHTS))


def test_rbf_mmd_is_a_sum_over_classes_of_scikit_learns_kernel() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    features = tiny_features(images).detach().numpy()
    (known,) = real_features(MMD().statistics).values()
    total = 0.0
    for cls in range(3):
        x = features[LABELS.numpy() == cls]
        a = WEIGHTS.numpy()[LABELS.numpy() == cls]
        a = a / a.sum()
        y = known["features"][known["labels"] == cls].numpy()
        stacked = np.concatenate([x, y])
        every = ((stacked[:, None] - stacked) ** 2).sum(2)
        h = every.sum() / (len(stacked) ** 2 - len(stacked))
        for i in range(5):
            gamma = 1 / (h * 2.0 ** (i - 2))
            total += a @ rbf_kernel(x, gamma=gamma) @ a + rbf_kernel(y, gamma=gamma).mean()
            total -= 2 * a @ rbf_kernel(x, y, gamma=gamma).mean(1)
    assert MMD().loss(step_of(MMD(), images)).item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("part", [Mean(), MMD(), MMD(kernel="linear")])
def test_order_of_images_and_of_known_features_does_not_matter(part: Any) -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    step = step_of(part, images)
    order = torch.tensor([3, 6, 0, 5, 1, 2, 4])
    known = {
        key: {name: value.flip(0).float() for name, value in found.items()}
        for key, found in step.known.items()
    }
    other = step_of(
        part, images[order], labels=LABELS[order], weights=WEIGHTS[order] * 7, known=known
    )
    torch.testing.assert_close(part.loss(step), part.loss(other), rtol=1e-5, atol=1e-8)


# -- maximum mean discrepancy ------------------------------------------------------------------


@pytest.mark.parametrize("distance", [1e-3, 1.0, 77.0])
def test_rbf_mmd_of_two_points_is_a_constant(distance: float) -> None:
    x = torch.zeros(1, 2, dtype=torch.float64)
    y = torch.tensor([[0.6, 0.8]], dtype=torch.float64) * distance
    assert rbf_mmd_squared(x, y).item() == pytest.approx(6.186276387, abs=1e-8)


def test_bandwidth_by_hand_and_without_gradient() -> None:
    x, y = tensors(4, 3).requires_grad_(), tensors(6, 3, seed=1)
    stacked = torch.cat([x, y]).detach()
    expected = torch.cdist(stacked, stacked).square().sum() / 90
    found = adaptive_bandwidth(x, y)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    (adaptive,) = torch.autograd.grad(rbf_mmd_squared(x, y), x)
    (fixed,) = torch.autograd.grad(rbf_mmd_squared(x, y, bandwidth=expected), x)
    torch.testing.assert_close(adaptive, fixed)


def brute_force(kernel: Any, x: Tensor, y: Tensor) -> float:
    """The U-statistic, pair by pair."""
    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(u, v) for u in x for v in y)
    return float(within_x / (m * m - m) + within_y / (n * n - n) - 2 * across / (m * n))


def test_unbiased_mmd_pair_by_pair() -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    h = adaptive_bandwidth(x, y)

    def gaussians(u: Tensor, v: Tensor) -> Tensor:
        return sum(torch.exp(-((u - v) ** 2).sum() / (h * 2.0**i)) for i in range(-2, 3))

    rbf = rbf_mmd_squared(x, y, biased=False)
    assert rbf.item() == pytest.approx(brute_force(gaussians, x, y), rel=1e-10)
    linear = linear_mmd_squared(x, y, biased=False)
    assert linear.item() == pytest.approx(brute_force(torch.dot, x, y), rel=1e-10)


def test_polynomial_mmd_by_its_explicit_features() -> None:
    """(⟨u, v⟩ + 1)² = ⟨φ(u), φ(v)⟩, φ(u) = (1, √2 u, u uᵀ)."""
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)

    def expanded(points: Tensor) -> Tensor:
        second = (points[:, :, None] * points[:, None]).flatten(1)
        return torch.cat([torch.ones(len(points), 1), 2**0.5 * points, second], 1)

    found = polynomial_mmd_squared(x, y, a)
    torch.testing.assert_close(found, linear_mmd_squared(expanded(x), expanded(y), a))
    unbiased = polynomial_mmd_squared(x, y, biased=False).item()
    pairs = brute_force(lambda u, v: (torch.dot(u, v) + 1) ** 2, x, y)
    assert unbiased == pytest.approx(pairs, rel=1e-10)


def test_unbiased_linear_mmd_of_weighted_points_by_hand() -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1)
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)

    def own(points: Tensor, w: Tensor) -> Tensor:  # half of the mean squared distance of all pairs
        spread = 0.5 * (w[:, None] * w * torch.cdist(points, points) ** 2).sum()
        return spread * (w**2).sum() / (1 - (w**2).sum())

    b = torch.full((6,), 1 / 6, dtype=torch.float64)
    expected = ((a @ x - y.mean(0)) ** 2).sum() - own(x, a) - own(y, b)
    torch.testing.assert_close(linear_mmd_squared(x, y, a, biased=False), expected)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("distance", [linear_mmd_squared, rbf_mmd_squared])
def test_mmd_invariances(distance: Any, biased: bool) -> None:
    x, y = tensors(4, 3), tensors(6, 3, seed=1) + 0.5
    a = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    value = distance(x, y, a, biased=biased)
    turn = torch.linalg.qr(tensors(3, 3, seed=2)).Q
    torch.testing.assert_close(distance(x @ turn + 9, y @ turn + 9, a, biased=biased), value)
    scaled = distance(x * 50, y * 50, a, biased=biased)
    expected = value if distance is rbf_mmd_squared else value * 2500
    torch.testing.assert_close(scaled, expected)
    torch.testing.assert_close(distance(y, x, None, a, biased=biased), value, rtol=1e-9, atol=1e-9)


def test_biased_mmd_of_a_cloud_with_itself_is_zero() -> None:
    x = tensors(6, 3)
    assert abs(rbf_mmd_squared(x, x.flip(0)).item()) < 1e-12
    assert linear_mmd_squared(x, x.flip(0)).item() < 1e-25
    assert rbf_mmd_squared(x, x + 0.1).item() > 1e-6


def test_unbiased_mmd_needs_two_images_of_a_class() -> None:
    part = MMD(biased=False)
    with pytest.raises(DDBenchError, match="single point"):
        part.loss(step_of(part, tensors(3, 2, 3, 3)))


def test_gradient_is_finite_where_all_points_coincide() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    rbf_mmd_squared(x, torch.ones(4, 3)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_squared_distances_far_from_the_origin() -> None:
    x, y = tensors(5, 8), tensors(9, 8, seed=1)
    expected = ((x[:, None] - y) ** 2).sum(2)
    torch.testing.assert_close(squared_distances(x, y), expected)
    near = squared_distances((x + 1e3).float(), (y + 1e3).float())
    torch.testing.assert_close(near.double(), expected, rtol=1e-2, atol=1e-2)
    assert (squared_distances(x, x) >= 0).all()


# -- the rest ----------------------------------------------------------------------------------


def test_cross_entropy_by_hand() -> None:
    images = tensors(7, 2, 3, 3, seed=1)
    logits = NETWORK.module(images)
    each = -torch.log(torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True))[range(7), LABELS]
    part = CrossEntropy()
    torch.testing.assert_close(part.loss(step_of(part, images)), each.mean())
    part = CrossEntropy(reduction="sum")
    torch.testing.assert_close(part.loss(step_of(part, images)), each.sum())
    half = step_of(part, images, acts=Activations(logits.bfloat16(), {}))
    assert part.loss(half).dtype == torch.float32


def test_nothing_is_zero_and_adds_to_other_losses() -> None:
    images = tensors(7, 2, 3, 3).requires_grad_()
    loss = Nothing().loss(step_of(Nothing(), images))
    assert loss == 0
    (loss + images.sum()).backward()
    assert images.grad is not None
    assert (images.grad == 1).all()
