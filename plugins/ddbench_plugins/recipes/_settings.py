"""Settings that recipes share: how teachers are trained, and where a script's settings hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ddbench.api.card import MethodCard
from ddbench.api.distiller import Distiller
from ddbench.api.recipe import Augmentation, MatcherTerm, Recipe, Training
from ddbench.api.roles import Labeller
from ddbench.api.toml_files import read_card
from ddbench.api.types import DatasetInfo
from ddbench_plugins.matchers.cross_entropy import CrossEntropy

_Row = TypeVar("_Row")

CROSS_ENTROPY = MatcherTerm(name="cross_entropy", weight=1.0, part=CrossEntropy())


def load_card(method: str) -> MethodCard:
    """Returns the card of a built-in method, `METHOD.toml` in this folder."""
    return read_card(Path(__file__).with_name(f"{method}.toml"))


def compose(
    name: str, info: DatasetInfo, distiller: Distiller, labeller: Labeller, **others: Any
) -> Recipe:
    """Returns a built-in method: with its card, and a teacher trained by the size of the images.

    Args:
        others: Further fields of the recipe.
    """
    return Recipe(
        name=name,
        card=load_card(name),
        squeeze=teacher_training(info),
        distiller=distiller,
        labeller=labeller,
        **others,
    )


def derive(base: Recipe, name: str, **changes: Any) -> Recipe:
    """Returns a built-in method, with a card of its own, that changes fields of another one."""
    return replace(base, name=name, card=load_card(name), **changes)


def family(info: DatasetInfo) -> str:
    """Returns a data set's name without its resolution: `imagenette` for `imagenette@64`."""
    return info.name.partition("@")[0]


SCRIPT_PIXELS = {"cifar10": 32, "cifar100": 32, "tiny_imagenet": 64, "imagenet1k": 224}
"""Pixels that the scripts of SRe2L, CDA, SCDD, G-VBSM and EDC are written for, by data set."""


def find_script(info: DatasetInfo) -> str:
    """Returns the name of a data set that comes at the size of those scripts, "" for others.

    Rolls, rates and crops of 64 pixels say nothing of the same photographs at 224: there, Tiny
    ImageNet is one of the data sets that no script was written for. What was written for 224
    pixels is taken at every size above 64.
    """
    name = family(info)
    pixels = SCRIPT_PIXELS.get(name, 0)
    fits = info.resolution > 64 if pixels > 64 else info.resolution == pixels
    return name if fits else ""


def pick_row(rows: Mapping[int, _Row], ipc: int | None) -> _Row:
    """Returns the row of the largest IPC that is not above `ipc`, which is 1 where it is None."""
    return rows[max(count for count in rows if count <= max(ipc or 1, 1))]


def smoke(**options: object) -> dict[str, dict[str, str]]:
    """Returns the profile `smoke`, which runs a method from end to end in a few steps.

    Args:
        options: Options of the distiller, such as `iterations=5`.
    """
    trained = {"squeeze.epochs": "2", "evaluate.epochs": "4", "evaluate.max_updates": "20"}
    return {"smoke": {**trained, **{f"recover.{name}": str(v) for name, v in options.items()}}}


def teacher_training(info: DatasetInfo, paper_epochs: int = 100) -> Training:
    """Returns how the teacher is trained, by the size of the images.

    Above 64 pixels as in the paper's Table 7: SGD 0.025, momentum 0.9, weight decay 1e-4,
    batches of 32, cosine. Below, one-cycle SGD of minutes on a CPU. Its rate is low because images
    are distilled through it: on imagenette@64 a teacher at 0.08 gave one class activations of a
    hundred times the others' variance, and its images stayed noise. On held-out training images
    (IPC 10, teacher labels, one seed) WMDD reached 53.9 % at 0.02 against 49.7 % at 0.08. Up to 16
    pixels AdamW without label smoothing: on held-out training digits (IPC 1, teacher labels,
    three seeds) WMDD from such a teacher reached 83.2 % against 50.2 to 52 % from the SGD one.
    """
    if info.resolution > 64:
        return Training(
            epochs=paper_epochs,
            batch_size=32,
            optimizer="sgd",
            lr=0.025,
            weight_decay=1e-4,
            schedule="cosine",
            augmentation=Augmentation(crop=(0.08, 1.0), mix="none"),
        )
    if info.resolution > 16:
        return Training(
            epochs=8,
            batch_size=64,
            optimizer="sgd",
            lr=0.02,
            nesterov=True,
            weight_decay=5e-4,
            schedule="onecycle",
            label_smoothing=0.1,
            augmentation=Augmentation(crop=(0.35, 1.0), mix="none"),
        )
    return Training(
        epochs=8,
        batch_size=64,
        optimizer="adamw",
        lr=0.001,
        weight_decay=0.01,
        schedule="cosine",
        augmentation=Augmentation(crop=(0.6, 1.0), mix="none"),
    )
