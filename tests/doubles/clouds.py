"""Clouds of points like pooled features, and their transport by POT."""

from __future__ import annotations

import ot
import torch
from torch import Tensor


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int = 60, d: int = 4, seed: int = 0) -> Tensor:
    """Features like those after a ReLU and pooling, in unequal clumps."""
    drawn = torch.randn(n, d, generator=rng(seed), dtype=torch.float64)
    clump = (torch.arange(n) % 7 // 3).double()[:, None]
    return (drawn + 2 * clump).relu() + 0.1 * drawn.abs()


def by_pot(points: Tensor, weights: Tensor, features: Tensor) -> float:
    cost = ot.dist(points.double().numpy(), features.double().numpy())
    share = weights.double().numpy()
    return float(ot.emd2(share / share.sum(), ot.unif(len(features)), cost))
