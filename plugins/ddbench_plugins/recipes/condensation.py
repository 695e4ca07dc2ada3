"""Dataset condensation by matching gradients: DC and DSA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._synthetic import DSA
from ddbench_plugins.distillers.gradient_matching import GradientMatching
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import compose, derive, pick_row, smoke

LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
"""Steps of the images for each network, and epochs of the network between them, by IPC."""


def choose_loop(info: DatasetInfo, ipc: int | None) -> GradientMatching:
    """Returns the loops of an IPC over 1,000 networks; on tiny images some 300 steps in all."""
    outer, inner = pick_row(LOOPS, ipc)
    if info.resolution > 16:
        return GradientMatching(outer=outer, inner=inner)
    return GradientMatching(
        iterations=300 // outer, outer=outer, inner=min(inner, 5), batch_real=32, lr=0.003
    )


def dc(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches gradients of real and synthetic images in networks that learn from the latter."""
    profiles = smoke(iterations=3, outer=2, inner=1)
    return compose("dc", info, choose_loop(info, ipc), Hard(), profiles=profiles)


def dsa(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Augments real and synthetic images alike in DC, and begins with real ones."""
    loop = replace(choose_loop(info, ipc), augment=DSA, init="real")
    return derive(dc(info, ipc), "dsa", distiller=loop)


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"dc": dc, "dsa": dsa}
