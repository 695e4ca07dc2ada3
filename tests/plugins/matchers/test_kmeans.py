"""The k-means target: restarts, and clumps that it finds and counts."""

from __future__ import annotations

import torch

from ddbench_plugins.matchers.kmeans import KMeansTarget
from tests.doubles.clouds import cloud, rng


def test_more_restarts_of_k_means_are_no_worse() -> None:
    features = cloud()
    once, often = (
        [KMeansTarget(restarts=r).atoms(features, 8, rng(s)).report["objective"] for s in range(6)]
        for r in (1, 20)
    )
    # From one seed the first start is the same one, and the best of all starts counts.
    assert all(more <= one + 1e-9 for one, more in zip(once, often, strict=True))
    assert sum(often) < 0.98 * sum(once)


def test_k_means_finds_clumps_and_counts_them() -> None:
    centres = torch.tensor([[0.0, 0], [20, 0], [0, 20]], dtype=torch.float64)
    sizes = (5, 10, 25)
    features = torch.cat([c + cloud(n, 2) for c, n in zip(centres, sizes, strict=True)])
    atoms = KMeansTarget().atoms(features, 3, rng())
    order = atoms.weights.argsort()
    torch.testing.assert_close(atoms.weights[order], torch.tensor(sizes).double() / 40)
    means = torch.stack([part.mean(0) for part in features.split(sizes)])
    torch.testing.assert_close(atoms.points[order], means)
