"""Reference rows: random selection under the same labels, and the whole training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.select import RandomSelection, WholeSet
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import compose, smoke


def random(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Draws training images per class, labelled like the rows that it is compared with."""
    return compose("random", info, RandomSelection(), FKD(), baseline=True, profiles=smoke())


def full(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Keeps all training images, under the same labels and the same protocol."""
    return compose("full", info, WholeSet(), FKD(), baseline=True, profiles=smoke())


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"random": random, "full": full}
