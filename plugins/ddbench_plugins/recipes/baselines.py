"""Reference rows: random selection under the same labels, and the whole training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Claim, Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.select import RandomSelection, WholeSet
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._claims import table_claims
from ddbench_plugins.recipes._settings import smoke, teacher_training

_SOURCE = "WMDD paper, Table 1 (quoted there from the DM lineage)"
_SETTING = "ConvNet, hard labels, as in the DM papers: another protocol than here"
RANDOM = {
    ("imagenette", 1): (23.5, 4.8),
    ("imagenette", 10): (47.7, 2.4),
    ("tiny_imagenet", 1): (1.5, 0.1),
    ("tiny_imagenet", 10): (6.0, 0.8),
    ("tiny_imagenet", 50): (16.8, 1.8),
    ("imagenet1k", 1): (0.5, 0.1),
    ("imagenet1k", 10): (3.6, 0.1),
    ("imagenet1k", 50): (15.3, 2.3),
}
CIFAR = {"cifar10": {10: (26.0, 1.2), 50: (43.4, 1.0)}, "cifar100": {10: (14.6, 0.5)}}


def random(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Training images drawn per class, labelled like the rows that it is compared with."""
    return Recipe(
        name="random",
        title="random selection",
        squeeze=teacher_training(info),
        distiller=RandomSelection(),
        labeller=FKD(),
        claims=(
            *(
                Claim(
                    dataset=name, ipc=count, student="", value=value, sd=sd,
                    source=_SOURCE, setting=_SETTING,
                )
                for (name, count), (value, sd) in RANDOM.items()
            ),
            *table_claims(CIFAR, _SETTING, "convnet3", "DM paper, Table 1"),
        ),
        notes=("At IPC 1 its spread is about 5 points on ImageNette: take five seeds or more.",),
        baseline=True,
        profiles=smoke(),
        reference="None: a reference row, not a method",
        objective="Images drawn uniformly, class by class, without replacement",
        provenance=(
            Provenance(settings="None but IPC; labels and training are the rows'", source="here"),
        ),
        licence="Nothing was released for it; written here.",
    )  # fmt: skip


def full(info: DatasetInfo, ipc: int | None) -> Recipe:
    """All training images, under the same labels and the same protocol."""
    return Recipe(
        name="full",
        title="full data",
        squeeze=teacher_training(info),
        distiller=WholeSet(),
        labeller=FKD(),
        notes=("A protocol may limit optimiser steps, which this row meets first.",),
        baseline=True,
        profiles=smoke(),
        reference="None: a reference row, not a method",
        objective="Every training image",
        provenance=(
            Provenance(settings="None but IPC; labels and training are the rows'", source="here"),
        ),
        licence="Nothing was released for it; written here.",
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"random": random, "full": full}
