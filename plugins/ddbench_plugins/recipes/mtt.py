"""MTT: matching the trajectories of experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ddbench import hookimpl
from ddbench.api.recipe import Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.trajectory_matching import TrajectoryMatching
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._settings import ANEW, SMALL_HERE, family, smoke, teacher_training
from ddbench_plugins.recipes.distribution import quoted

CLAIMS = {
    "imagenette": {1: (47.7, 0.9), 10: (63.0, 1.3)},
    "tiny_imagenet": {1: (8.8, 0.3), 10: (23.2, 0.2), 50: (28.0, 0.3)},
}
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


def loop(info: DatasetInfo, ipc: int | None) -> TrajectoryMatching:
    """The paper's setting for a data set and IPC; on tiny images one for a CPU."""
    if info.resolution <= 16:
        return TrajectoryMatching(
            iterations=200, steps=10, ahead=1, latest=4, lr=100.0, lr_rate=1e-5, rate=0.02,
            experts=6, expert_lr=0.02, expert_batch=64,
        )  # fmt: skip
    rows = _PAPER.get(family(info), _PAPER["imagenette"])
    row = rows[max((count for count in rows if count <= (ipc or 1)), default=1)]
    told: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    return TrajectoryMatching(**told)


def mtt(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Images on which a student makes up for epochs of an expert in few steps."""
    return Recipe(
        name="mtt",
        title="MTT",
        squeeze=teacher_training(info),
        distiller=loop(info, ipc),
        labeller=Hard(),
        profiles=smoke(iterations=5, steps=3, experts=2, latest=2, ahead=1),
        teacher="convnet3",
        objective=(
            "min_S,α ‖ θ̂_{t+N} − θ*_{t+M} ‖² / ‖ θ*_t − θ*_{t+M} ‖², θ̂ by N steps of rate α on A S"
        ),
        provenance=(
            Provenance(
                settings=(
                    "Steps, epochs ahead, latest start, rates and batches for CIFAR-10, "
                    "CIFAR-100, Tiny ImageNet at IPC 1, 10, 50, and for subsets of ImageNet at "
                    "IPC 1"
                ),
                source="second hand",
            ),
            Provenance(
                settings=(
                    "100 experts by SGD 0.01 without momentum in batches of 256, 5,000 "
                    "iterations, momentum 0.5"
                ),
                source="code",
            ),
            Provenance(
                settings=(
                    "Other IPC: the largest that is not above; other data sets: the row of "
                    "ImageNet's subsets"
                ),
                source="here",
            ),
            SMALL_HERE,
        ),
        licence="Released code: MIT. " + ANEW,
        reference=(
            "Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR "
            "2022, arXiv:2203.11932"
        ),
        claims=quoted(CLAIMS),
        notes=(
            "Distilled through and judged on ConvNets: --teacher convnet3 --arch convnet3 at 32 "
            "pixels, depth 4 at 64, 5 at 128; --protocol dc.",
            "Images are stored as float32 and may leave the range of pixels, as released.",
            "The paper's figures are the best of many looks at the test data, with the learned "
            "learning rate; here the last images count, at the protocol's rate.",
            "The paper whitens CIFAR (ZCA) at IPC 1 and 10 on CIFAR-10 and at 1 and 50 on "
            "CIFAR-100; here images are distilled unwhitened (students: --set evaluate.zca=0.1).",
            "Experts are trained no longer than they are looked at, once for all seeds, IPC and "
            "settings of the student. All their weights are read into memory: 1.3 MB a point of "
            "ConvNet-D3.",
            "Memory grows with the student's steps: --set recover.steps=10 where it is short.",
            "Settings by data set are the authors' commands as DC-BENCH quotes them.",
            "Known issue: in the release the loss stops being a number on CIFAR-10 at IPC 10 and "
            "elsewhere (issues 6, 31 and 42); here such a cell ends with an error.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"mtt": mtt}
