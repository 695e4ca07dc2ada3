"""Distribution matching in random networks: DM and DataDAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._gaps import AttentionGap
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import compose, family, smoke


def dm(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches mean embeddings in a fresh random network each iteration."""
    if info.resolution <= 16:
        distiller = RandomNetworks(iterations=500, batch_real=32)
    else:
        many = family(info) == "cifar10" and (ipc or 1) >= 100
        distiller = RandomNetworks(lr=10.0 if many else 1.0)
    return compose("dm", info, distiller, Hard(), profiles=smoke(iterations=10))


def datadam(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches mean embeddings, and attention maps of all but the last block, in random networks."""
    many = (ipc or 1) > 50
    gap = AttentionGap(embedding=0.02 if info.resolution > 64 else 0.01)
    if info.resolution <= 16:
        # At 1 the first step is larger than the image, and the loss rises.
        distiller = RandomNetworks(iterations=500, batch_real=32, lr=0.01, gap=gap)
    else:
        distiller = RandomNetworks(
            iterations=8000, batch_real=64, lr=10.0 if many else 1.0, gap=gap
        )
    return compose("datadam", info, distiller, Hard(), profiles=smoke(iterations=10))


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"dm": dm, "datadam": datadam}
