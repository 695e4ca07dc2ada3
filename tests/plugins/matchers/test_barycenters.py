"""Targets of all matchers: what is promised of every set of atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.roles import Target
from ddbench_plugins.distances.transport import squared_distances
from ddbench_plugins.matchers.kmeans import KMeansTarget
from ddbench_plugins.matchers.sliced_wasserstein import SlicedBarycenterTarget
from ddbench_plugins.matchers.wasserstein import BarycenterTarget
from tests.doubles.clouds import by_pot, cloud, rng

BARYCENTERS = [
    BarycenterTarget(),
    BarycenterTarget(weights="uniform"),
    BarycenterTarget(init="normal"),
    BarycenterTarget(weights="uniform", init="normal", iterations=100),
]
TARGETS = [*BARYCENTERS, KMeansTarget(), SlicedBarycenterTarget()]


@pytest.mark.parametrize("target", TARGETS)
def test_report_belongs_to_the_atoms(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 6, rng())
    objective, bound = atoms.report["objective"], atoms.report["kmeans_bound"]
    assert objective == pytest.approx(by_pot(atoms.points, atoms.weights, features), rel=1e-9)
    assert bound <= objective + 1e-9
    assert atoms.report["gap"] == objective - bound
    own = SklearnKMeans(6, init=atoms.points.numpy(), n_init=1, tol=0).fit(features.numpy())
    assert bound <= own.inertia_ / 60 + 1e-9
    assert atoms.weights.sum().item() == pytest.approx(1, abs=1e-12)
    assert (atoms.weights > 0).all()


@pytest.mark.parametrize("target", TARGETS)
def test_one_atom_is_the_mean(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 1, rng())
    torch.testing.assert_close(atoms.points[0], features.mean(0), atol=1e-6, rtol=1e-6)
    trace = features.var(0, correction=0).sum().item()
    assert atoms.report["objective"] == pytest.approx(trace, rel=1e-6)


@pytest.mark.parametrize("target", [t for t in TARGETS if getattr(t, "init", "real") == "real"])
def test_as_many_atoms_as_features_are_the_features(target: Any) -> None:
    features = cloud(9)
    atoms = target.atoms(features, 9, rng())
    nearest = squared_distances(atoms.points, features).argmin(1)
    assert sorted(nearest.tolist()) == list(range(9))
    torch.testing.assert_close(atoms.points, features[nearest], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(atoms.weights, torch.full((9,), 1 / 9, dtype=torch.float64))
    assert atoms.report["objective"] < 1e-9


@pytest.mark.parametrize("target", TARGETS)
def test_same_generator_same_atoms_and_no_other_randomness(target: Any) -> None:
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (target.atoms(cloud(), 5, rng(4)) for _ in range(2))
    assert torch.equal(one.points, two.points)
    assert torch.equal(one.weights, two.weights)
    assert one.report == two.report
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()
    other = target.atoms(cloud(), 5, rng(5))
    assert not torch.equal(one.points, other.points)


@pytest.mark.parametrize("target", [BarycenterTarget(), KMeansTarget(), SlicedBarycenterTarget()])
def test_moving_and_scaling_the_features(target: Any) -> None:
    features = cloud()
    plain = target.atoms(features, 5, rng())
    other = target.atoms(1000 * features + 50, 5, rng())
    torch.testing.assert_close(other.points, 1000 * plain.points + 50, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(other.weights, plain.weights, rtol=1e-6, atol=1e-8)
    assert other.report["objective"] == pytest.approx(1e6 * plain.report["objective"], rel=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_dtype_protocol_and_refusals(target: Any) -> None:
    assert isinstance(target, Target)
    assert target.statistic == Features()
    assert type(target)(layer="conv").statistic == Features(layer="conv")
    for dtype in (torch.float32, torch.bfloat16):
        atoms = target.atoms(cloud().to(dtype), 3, rng())
        assert atoms.points.dtype == atoms.weights.dtype == torch.float32
    for count in (0, 61):
        with pytest.raises(DDBenchError, match=f"{count} images of a class that has 60"):
            target.atoms(cloud(), count, rng())
    with pytest.raises(DDBenchError, match="not finite"):
        target.atoms(cloud().index_fill(0, torch.tensor([3]), torch.nan), 3, rng())


def test_equal_features_are_no_trouble() -> None:
    for target in TARGETS:
        atoms = target.atoms(torch.ones(8, 3, dtype=torch.float64), 3, rng())
        assert atoms.points.isfinite().all()
        assert (atoms.weights > 0).all()


def test_in_one_dimension_uniform_atoms_are_means_of_blocks_of_quantiles() -> None:
    features = cloud(12, 1)
    expected = features.sort(0).values.reshape(3, 4).mean(1)
    atoms = BarycenterTarget(weights="uniform").atoms(features, 3, rng())
    torch.testing.assert_close(atoms.points.flatten().sort().values, expected)
    sliced = SlicedBarycenterTarget().atoms(features, 3, rng())
    torch.testing.assert_close(sliced.points.flatten().sort().values, expected)


@pytest.mark.parametrize(
    ("option", "value"), [("theta", 0.0), ("theta", 1.5), ("weight_floor", 0.0)]
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(DDBenchError, match=f"{option} is {value}"):
        BarycenterTarget(**{option: value})  # type: ignore[arg-type]
    with pytest.raises(DDBenchError, match="step is"):
        SlicedBarycenterTarget(step=0.0)


@pytest.mark.parametrize("target", BARYCENTERS)
def test_the_mean_of_the_class_is_preserved(target: Any) -> None:
    features = cloud()
    atoms = target.atoms(features, 7, rng())
    torch.testing.assert_close(atoms.weights @ atoms.points, features.mean(0))
