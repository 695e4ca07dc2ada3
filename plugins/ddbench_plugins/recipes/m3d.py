"""M3D: the maximum mean discrepancy in random networks, on images that hold four."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean

from ddbench import hookimpl
from ddbench.api.recipe import Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._gaps import KernelGap
from ddbench_plugins.distillers._pools import FreshNetworks
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import ANEW, SMALL_HERE, smoke, teacher_training
from ddbench_plugins.recipes.distribution import NETWORKS

LR = 10.0
"""Of pixels from 0 to 1."""
FACTORISED = (
    "Images hold 2 x 2 tiles, which students are shown one by one at full size: four images for "
    "each that is counted. Bytes are those of what is kept."
)

UNTUNED = (
    "At 16 pixels and below iterations and real batches are cut for a CPU; nothing was tuned there."
)


def m3d(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Five Gaussian kernels as wide as the data; a network serves five iterations."""
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
    return Recipe(
        name="m3d",
        title="M3D",
        squeeze=teacher_training(info),
        distiller=loop,
        labeller=Hard(),
        profiles=smoke(iterations=10),
        reference=(
            "Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, AAAI "
            "2024, arXiv:2312.15927"
        ),
        objective=(
            "min_S E_θ,ω Σ_c mean K(s, s') − 2 mean K(s, x) + mean K(x, x'), "
            "K(u, v) = Σ_{i=−2..2} exp(−‖f_θ(u) − f_θ(v)‖² / (h 2^i)), h their mean squared "
            "distance"
        ),
        provenance=(
            Provenance(
                settings=(
                    "10,000 iterations, rate 10 for pixels from 0 to 1, momentum 0.5, real "
                    "batches of 64, a network for five iterations, 2 x 2 tiles, three operations, "
                    "the five kernels; alike for every data set and IPC"
                ),
                source="second hand",
            ),
            SMALL_HERE,
        ),
        licence="Released page: MIT, without code. " + ANEW,
        notes=(
            NETWORKS[0],
            FACTORISED,
            "Settings are those of public forks: neither the authors' code nor their settings for "
            "each data set were at hand.",
            "The forks use at most 200 synthetic images of a class an iteration; here all.",
            "Its students are trained with CutMix beside DSA and the best of many looks at the "
            "test data is reported; here the protocol decides, and the last epoch.",
            UNTUNED,
            "No accuracies are listed: none are in the sources at hand.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"m3d": m3d}
