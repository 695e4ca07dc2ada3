"""Selections in feature space against brute force, and a whole run of each on real digits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing.fakes import TinyProblem
from ddbench_plugins.distillers.coresets import FeatureSelection, Herding, KCenter, KMeansNearest

PARTS = [
    Herding(), Herding(form="welling"), KCenter(), KCenter(start="random"), KMeansNearest(),
]  # fmt: skip


def points(count: int, seed: int = 0, size: int = 3) -> Tensor:
    return torch.randn(count, size, generator=make_generator(seed, "points"), dtype=torch.float64)


def choose(part: FeatureSelection, features: Tensor, count: int, seed: int = 0) -> list[int]:
    return part.choose(features, count, make_generator(seed)).tolist()


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("copies", [1, 3])
def test_every_count_gives_different_images_and_all_of_them_in_the_end(
    part: FeatureSelection, copies: int
) -> None:
    features = points(4).repeat(copies, 1)
    for count in range(1, len(features) + 1):
        found = choose(part, features, count)
        assert len(set(found)) == count
    assert set(found) == set(range(len(features)))


@pytest.mark.parametrize("part", PARTS[:3] + PARTS[4:], ids=str)
def test_the_order_of_the_images_does_not_matter(part: FeatureSelection) -> None:
    features, order = points(30), torch.randperm(30, generator=make_generator(1))
    moved = order[torch.tensor(choose(part, features[order], 6))].tolist()
    kept = choose(part, features, 6)
    if isinstance(part, KMeansNearest):  # draws its starts by position
        features = torch.cat([5 * torch.eye(3).double()] * 10) + 0.1 * features
        moved = [int(order[i]) % 3 for i in choose(part, features[order], 3)]
        assert sorted(moved) == [0, 1, 2]
    else:
        assert moved == kept


@pytest.mark.parametrize("part", [PARTS[0], *PARTS[2:]], ids=str)
def test_two_far_clusters_give_one_image_each(part: FeatureSelection) -> None:
    for seed in range(5):
        features = points(12, seed)
        features[::2, 0] += 1000
        assert sorted(i % 2 for i in choose(part, features, 2, seed)) == [0, 1]


def test_rows_are_of_the_class_and_of_the_layer_that_is_asked_for() -> None:
    part = Herding(layer="norm1")
    problem = TinyProblem(distiller=part)
    assert list(problem.known) == [Features(layer="norm1")]
    known = problem.known[Features(layer="norm1")]
    found = part.recover(problem, torch.tensor([4, 5]))
    rows = problem.real_indices(2)
    own = known["features"][rows].double()
    assert found.tolist() == rows[torch.tensor(choose(part, own, 2))].tolist()


def test_features_that_are_not_finite_are_refused() -> None:
    problem = TinyProblem(distiller=KCenter())
    problem.known[Features()]["features"][0] = torch.nan
    with pytest.raises(DDBenchError, match="of class 0 are not finite"):
        KCenter().recover(problem, torch.tensor([0]))
    with pytest.raises(DDBenchError, match="restarts is 0"):
        KMeansNearest(restarts=0)


# -- herding ---------------------------------------------------------------------------------------


def herding_by_loop(features: Tensor, count: int, form: str) -> list[int]:
    """The definitions, image by image."""
    mean, chosen = features.mean(0), []
    weight = mean
    for _ in range(count):
        values = {}
        for x in set(range(len(features))) - set(chosen):
            if form == "icarl":
                values[x] = float((mean - features[[*chosen, x]].mean(0)).norm())
            else:
                values[x] = -float(weight @ features[x])
        chosen.append(min(values, key=values.__getitem__))
        weight = weight + mean - features[chosen[-1]]
    return chosen


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), form=st.sampled_from(["icarl", "welling"]), m=st.integers(1, 9))
def test_herding_is_its_definition(seed: int, form: Any, m: int) -> None:
    features = points(9, seed)
    assert choose(Herding(form=form), features, m) == herding_by_loop(features, m, form)


def test_icarl_begins_nearest_to_the_mean_and_the_forms_differ() -> None:
    features = points(40)
    nearest = int((features - features.mean(0)).norm(dim=1).argmin())
    assert choose(Herding(), features, 1) == [nearest]
    assert choose(Herding(), features, 10) != choose(Herding(form="welling"), features, 10)


def test_herding_stays_nearer_to_the_mean_than_chance() -> None:
    features = points(200, size=8)
    herded = features[choose(Herding(), features, 10)].mean(0) - features.mean(0)
    gaps = [(features[torch.randperm(200, generator=make_generator(s))[:10]].mean(0)
             - features.mean(0)).norm() for s in range(50)]  # fmt: skip
    assert herded.norm() < 0.5 * min(gaps)


# -- k-center --------------------------------------------------------------------------------------


def radius(features: Tensor, chosen: Any) -> float:
    gaps = (features[:, None] - features[list(chosen)]).norm(dim=2)
    return float(gaps.min(1).values.max())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), m=st.integers(1, 8), start=st.sampled_from(["mean", "random"]))
def test_k_center_is_greedy_and_within_twice_the_best_radius(seed: int, m: int, start: Any) -> None:
    features = points(8, seed)
    found = choose(KCenter(start=start), features, m, seed)
    for t in range(1, m):
        left = torch.cdist(features, features[found[:t]]).min(1).values
        assert float(left[found[t]]) == pytest.approx(float(left.max()))
    best = min(radius(features, some) for some in itertools.combinations(range(8), m))
    assert radius(features, found) <= 2 * best + 1e-12


def test_k_center_covers_more_with_more_and_does_not_see_where_the_origin_is() -> None:
    features = points(30)
    whole = choose(KCenter(), features, 30)
    radii = [radius(features, whole[:m]) for m in range(1, 31)]
    assert all(after <= before for before, after in itertools.pairwise(radii))
    assert radii[-1] == 0
    turn = torch.linalg.qr(points(3, 5)).Q
    assert choose(KCenter(), features @ turn + 7, 12) == whole[:12]
    assert int((features - features.mean(0)).norm(dim=1).argmin()) == whole[0]


# -- k-means ---------------------------------------------------------------------------------------


def test_kmeans_takes_the_image_nearest_to_each_centre() -> None:
    from sklearn.cluster import KMeans

    features = points(60)
    features[:, 0] += 20 * (torch.arange(60) % 4)
    centres = KMeans(4, n_init=5, random_state=3).fit(features.numpy()).cluster_centers_
    nearest = torch.cdist(torch.from_numpy(centres), features).argmin(1)
    assert set(choose(KMeansNearest(), features, 4)) == set(nearest.tolist())


def test_one_centre_is_the_mean() -> None:
    features = points(25)
    nearest = int((features - features.mean(0)).norm(dim=1).argmin())
    assert choose(KMeansNearest(), features, 1) == [nearest]


# -- whole runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["herding", "k_center", "kmeans_nearest"])
def test_a_selection_runs_end_to_end(
    method: str, ddbench: Callable[..., Any], tiny: list[Any], cache: Cache
) -> None:
    done = ddbench("run", *tiny, "--method", method, "--ipc", 2, "--no-reference")
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
    assert set(record.keys) >= {"squeeze", "statistics", "recover", "evaluate"}
