"""M3D: the maximum mean discrepancy in random networks, on images that hold four."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._gaps import KernelGap
from ddbench_plugins.distillers._pools import FreshNetworks
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import compose, smoke

LR = 10.0
"""Of pixels from 0 to 1."""


def m3d(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches features by five Gaussian kernels; a random network serves five iterations."""
    loop = RandomNetworks(
        iterations=10000,
        batch_real=64,
        # A normalised pixel is 1/std of a plain one, and so is its gradient the other way round.
        lr=round(LR / fmean(std**2 for std in info.std), 3),
        augment="color_crop_cutout",
        gap=KernelGap(),
        factor=2,
        pool=FreshNetworks(every=5),
        clamp=True,
    )
    if info.resolution <= 16:
        loop = replace(loop, iterations=500, batch_real=32)
    return compose("m3d", info, loop, Hard(), profiles=smoke(iterations=10))


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"m3d": m3d}
