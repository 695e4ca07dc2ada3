"""RDED: patches that the teacher finds realistic, tiled; nothing is optimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.spec import Provenance, Recipe
from ddbench.types import DatasetInfo
from ddbench_plugins.distillers.rded import RDED
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes.settings import ANEW, TEACHER_HERE, UNCLEAR, smoke, teacher_training


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
        licence=UNCLEAR + ANEW,
        reference=(
            "Sun et al., On the Diversity and Realism of Distilled Dataset: An Efficient Dataset "
            "Distillation Paradigm, CVPR 2024, arXiv:2312.03526"
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
            "No accuracies are listed: none are in the WMDD paper's tables.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"rded": rded}
