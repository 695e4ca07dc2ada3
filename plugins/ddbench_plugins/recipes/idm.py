"""IDM: distribution matching in networks that learn meanwhile, on images that hold four."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._pools import TrainingQueue
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import compose, family, pick_row, smoke

_PAPER = {
    "cifar10": {1: (0.5, 5, 5000, 10), 10: (0.5, 30, 256, 10), 50: (0.1, 30, 256, 10)},
    "cifar100": {1: (0.5, 5, 5000, 10), 10: (0.1, 30, 256, 50), 50: (0.1, 30, 256, 10)},
    "tiny_imagenet": {1: (0.5, 30, 256, 10), 10: (0.5, 30, 256, 10), 50: (0.8, 30, 256, 50)},
}
"""The authors' commands, by data set and IPC: weight of the cross-entropy, iterations between two
new networks, real images of a class, steps of a network's training."""
_LARGE = (3.0, 50, 128, 10)
"""Their command for 100 classes of ImageNet at 224 pixels, at every IPC."""


def choose_loop(info: DatasetInfo, ipc: int | None) -> RandomNetworks:
    """Returns the authors' setting; without one CIFAR-10's, above 64 pixels ImageNet's."""
    if info.resolution <= 16:
        queue = TrainingQueue(interval=10, steps=5, batch_size=64)
        return RandomNetworks(
            iterations=300, batch_real=32, lr=0.2, factor=2, pool=queue, cross_entropy=0.5
        )
    large = info.resolution > 64
    row = pick_row(_PAPER.get(family(info), _PAPER["cifar10"]), ipc)
    weight, interval, batch, steps = _LARGE if large else row
    queue = TrainingQueue(interval=interval, steps=steps, most=50 if large else 100)
    return RandomNetworks(batch_real=batch, lr=0.2, factor=2, pool=queue, cross_entropy=weight)


def idm(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches mean embeddings, with cross-entropy beside, in a queue of half-trained networks."""
    profiles = smoke(iterations=10, **{"pool.steps": 1})
    return compose("idm", info, choose_loop(info, ipc), Hard(), profiles=profiles)


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"idm": idm}
