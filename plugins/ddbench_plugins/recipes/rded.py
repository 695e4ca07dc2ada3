"""RDED: patches that the teacher finds realistic, tiled; nothing is optimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Claim, Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.rded import RDED
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import ANEW, TEACHER_HERE, smoke, teacher_training


def rded(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Two tiles a side from 128 pixels on, one below; five crops of 300 images a class."""
    return Recipe(
        name="rded",
        title="RDED",
        squeeze=teacher_training(info),
        distiller=RDED(factor=2 if info.resolution >= 128 else 1),
        labeller=FKD(),
        profiles=smoke(),
        objective="The patches p of real images with the lowest CE(z(p), y), tiled factor x factor",
        provenance=(
            Provenance(
                settings=(
                    "Two tiles a side from 128 pixels on, 300 images a class, five crops each, "
                    "for every data set and IPC"
                ),
                source="code",
            ),
            TEACHER_HERE,
        ),
        licence="Released code: Apache-2.0. " + ANEW,
        reference=(
            "Sun et al., On the Diversity and Realism of Distilled Dataset: An Efficient Dataset "
            "Distillation Paradigm, CVPR 2024, arXiv:2312.03526"
        ),
        claims=(
            Claim(
                dataset="imagenet1k", ipc=10, student="resnet18", value=42.0,
                source="RDED, abstract", setting="labels of the teacher at every view",
            ),
        ),
        notes=(
            "Selection as released; the student is trained by this benchmark's protocol. RDED's "
            "own has a half-cosine rate that ends at half, shuffles the tiles of each view, keeps "
            "crops of at least 1/factor, and reports the best of the last fifth of the epochs.",
            "The teacher is this benchmark's, not the released observer, whose accuracy is higher "
            "(90.0 % on ImageNette); 300 images a class are the scripts' setting, 600 the code's "
            "default.",
            "Where patches are padded is not stated in the sources at hand; here they lie in the "
            "middle.",
            "Known issue: the release has its checkpoints' own order of classes; on folders in "
            "another order users got 23 % for 50.2 on CIFAR-10 and 0.5 % for 39.6 on Tiny ImageNet "
            "(issues 3 and 10). Here teachers are trained on the very classes.",
        ),
    )  # fmt: skip


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"rded": rded}
