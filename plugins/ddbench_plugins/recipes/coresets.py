"""Selections of real images in the teacher's feature space, labelled like the rows beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.coresets import Herding, KCenter, KMeansNearest
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import compose, smoke


def herding(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Selects images by herding in iCaRL's form; `recover.form=welling` is the original one."""
    return compose("herding", info, Herding(), FKD(), profiles=smoke())


def k_center(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Selects the farthest image first, from the one nearest to the mean of its class on."""
    return compose("k_center", info, KCenter(), FKD(), profiles=smoke())


def kmeans_nearest(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Selects the real images nearest to k-means centres."""
    return compose("kmeans_nearest", info, KMeansNearest(), FKD(), profiles=smoke())


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"herding": herding, "k_center": k_center, "kmeans_nearest": kmeans_nearest}
