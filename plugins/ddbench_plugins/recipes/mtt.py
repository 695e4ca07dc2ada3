"""MTT: matching the trajectories of experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ddbench import hookimpl
from ddbench.api.recipe import Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import compose, family, pick_row, smoke

_COLUMNS = ("steps", "ahead", "latest", "lr", "lr_rate", "rate", "batch_synthetic")
_PAPER = {
    "cifar10": {
        1: (50, 2, 2, 100.0, 1e-7, 0.01, 0),
        10: (30, 2, 20, 100.0, 1e-5, 0.001, 0),
        50: (30, 2, 40, 1000.0, 1e-5, 0.001, 0),
    },
    "cifar100": {
        1: (20, 3, 20, 1000.0, 1e-5, 0.01, 0),
        10: (20, 2, 20, 1000.0, 1e-5, 0.01, 0),
        50: (80, 2, 40, 1000.0, 1e-5, 0.01, 125),
    },
    "tiny_imagenet": {
        1: (10, 2, 10, 1e4, 1e-4, 0.01, 0),
        10: (20, 2, 40, 1e4, 1e-4, 0.01, 200),
        50: (20, 2, 40, 1e4, 1e-4, 0.01, 300),
    },
    "imagenette": {1: (20, 2, 10, 1000.0, 1e-6, 0.01, 0)},
}
"""The authors' commands, by data set and IPC; other IPC take the largest that is not above."""


def choose_loop(info: DatasetInfo, ipc: int | None) -> TrajectoryMatching:
    """Returns the paper's setting for a data set and IPC; on tiny images one for a CPU."""
    if info.resolution <= 16:
        return TrajectoryMatching(
            iterations=200,
            steps=10,
            ahead=1,
            latest=4,
            lr=100.0,
            lr_rate=1e-5,
            rate=0.02,
            experts=6,
            expert_lr=0.02,
            expert_batch=64,
        )
    row = pick_row(_PAPER.get(family(info), _PAPER["imagenette"]), ipc)
    options: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    return TrajectoryMatching(**options)


def mtt(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Makes images on which a student makes up for epochs of an expert in few steps."""
    profiles = smoke(iterations=5, steps=3, experts=2, latest=2, ahead=1)
    return compose(
        "mtt", info, choose_loop(info, ipc), Hard(), profiles=profiles, teacher="convnet3"
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"mtt": mtt}
