"""SCDD: SRe2L through a teacher whose backbone was trained without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Augmentation, LinearProbe, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.pretraining.moco import MomentumContrast
from ddbench_plugins.recipes._settings import derive, find_script, teacher_training
from ddbench_plugins.recipes.sre2l import sre2l

SHORT = {"squeeze.pretraining.epochs": "1", "label_squeeze.epochs": "2"}
"""What the profile `smoke` cuts besides."""


def pretrain_teacher(info: DatasetInfo) -> LinearProbe:
    """Returns momentum contrast, then a linear probe: the paper's lengths above 64 pixels."""
    small = info.resolution <= 64
    rate = 0.06 if find_script(info) in ("tiny_imagenet", "cifar100") else 0.03
    if info.resolution <= 16:
        pretraining = MomentumContrast(
            epochs=30, batch_size=64, lr=0.06, queue=512, crop=(0.6, 1.0), colour=False
        )
        # AdamW: SGD at 0.03 has not begun to learn in so few updates.
        return LinearProbe(
            pretraining=pretraining,
            epochs=20,
            batch_size=64,
            optimizer="adamw",
            lr=0.01,
            weight_decay=0.0,
            augmentation=Augmentation(crop=(0.6, 1.0), mix="none"),
        )
    return LinearProbe(
        pretraining=MomentumContrast(epochs=60 if small else 200),
        epochs=30 if small else 200,
        batch_size=256,
        optimizer="sgd",
        lr=rate,
        weight_decay=0.0,
        augmentation=Augmentation(crop=(0.2, 1.0), mix="none"),
    )


def scdd(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Takes SRe2L's objective and loop through a teacher pretrained without labels."""
    base = sre2l(info, ipc)
    distiller, regularizers = base.distiller, base.regularizers
    assert isinstance(distiller, Optimize)
    if find_script(info) == "cifar100":
        distiller = replace(distiller, lr=0.4)
        regularizers = (replace(regularizers[0], weight=0.005),)
    elif find_script(info) == "tiny_imagenet":
        distiller = replace(distiller, lr=0.6)
    elif find_script(info) == "imagenet1k":
        distiller = replace(distiller, iterations=1000, batch_size=50)
    return derive(
        base,
        "scdd",
        squeeze=pretrain_teacher(info),
        label_squeeze=teacher_training(info),
        distiller=distiller,
        regularizers=regularizers,
        profiles={name: {**options, **SHORT} for name, options in base.profiles.items()},
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"scdd": scdd}
