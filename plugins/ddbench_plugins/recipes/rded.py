"""RDED: patches that the teacher finds realistic, tiled; nothing is optimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.rded import RDED
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import compose, smoke


def rded(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Tiles realistic patches of 300 images a class: two a side from 128 pixels on, one below."""
    tiles = RDED(factor=2 if info.resolution >= 128 else 1)
    return compose("rded", info, tiles, FKD(), profiles=smoke())


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"rded": rded}
