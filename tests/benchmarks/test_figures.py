"""Figures: barycenters against closed forms, the lambda curve against its records."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.figures import barycenters, strength
from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record

pytest.importorskip("matplotlib")

SHAPES = [barycenters.make_ring(*place) for place in barycenters.RINGS]
PICTURES = [barycenters.draw_points(shape) for shape in SHAPES]


def test_the_wasserstein_barycenter_of_rings_is_the_ring_of_mean_axes():
    """Of shapes that are one shape moved and stretched along the same axes, means are exact."""
    y, x, tall, wide = np.mean(barycenters.RINGS, axis=0)
    found = barycenters.wasserstein_barycenter(SHAPES)
    level = np.hypot((found[:, 0] - y) / tall, (found[:, 1] - x) / wide)
    assert level == pytest.approx(np.ones(len(level)), abs=0.05)


def test_kl_and_mmd_blend_the_shapes_and_wasserstein_does_not():
    mean = np.mean(PICTURES, axis=0)
    assert np.allclose(barycenters.kl_barycenter(PICTURES), mean)
    mmd = barycenters.mmd_barycenter(PICTURES)
    assert np.abs(mmd - mean).sum() < 0.1  # of at most 2
    wasserstein = barycenters.draw_points(barycenters.wasserstein_barycenter(SHAPES))
    assert np.abs(wasserstein - mean).sum() > 1


def test_each_barycenter_is_the_best_by_its_own_divergence():
    wasserstein = barycenters.draw_points(barycenters.wasserstein_barycenter(SHAPES))
    mmd, kl = barycenters.mmd_barycenter(PICTURES), barycenters.kl_barycenter(PICTURES)

    def mean_kl(p):
        return np.mean([(q * np.log((q + 1e-30) / (p + 1e-30))).sum() for q in PICTURES])

    assert mean_kl(kl) < mean_kl(wasserstein)
    best = barycenters.mean_mmd_squared(mmd, PICTURES)
    assert best == pytest.approx(barycenters.mean_mmd_squared(kl, PICTURES), rel=1e-3)
    assert best < barycenters.mean_mmd_squared(wasserstein, PICTURES)


def record(weight, top1, seed=0, terms=1) -> Record:
    regularizers = [["T/1", {"name": "batch_norm", "weight": weight}]] * terms
    return Record(
        key=f"{weight}-{seed}-{terms}", status="ok", method="wmdd", dataset="digits", ipc=10,
        teacher="resnet18", student="resnet18", labels="fkd", protocol="v1", seed=seed,
        metrics=[{"top1": top1}], configuration={"recipe": {"regularizers": regularizers}},
    )  # fmt: skip


def test_the_lambda_curve_is_that_of_the_records(tmp_path):
    records = [record(w, 10 * i + s, s) for i, w in enumerate((100, 1, 10)) for s in (0, 2)]
    (curve,) = strength.collect_curves(records).values()
    assert {w: top1.mean for w, top1 in curve.items()} == {1: 11, 10: 21, 100: 1}
    assert list(curve) == [1, 10, 100]
    for path in strength.draw(records, tmp_path):
        assert path.stat().st_size > 1000


def test_one_weight_is_no_curve():
    with pytest.raises(DDBenchError, match="several weights"):
        strength.collect_curves([record(1, 50), record(1, 51, terms=2), record(10, 50, terms=2)])
