"""Selections of real images in the teacher's feature space, labelled like the rows beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import Provenance, Recipe
from ddbench.api.roles import Distiller
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.coresets import Herding, KCenter, KMeansNearest
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.recipes._settings import ANEW, TEACHER_HERE, smoke, teacher_training

TEXTBOOK = "No code is released for it; textbook algorithms, written here."

NOTES = (
    "Features are those of this benchmark's teacher, at the classifier's input. The papers that "
    "quote such rows name neither their feature network nor their code; their figures belong to "
    "small ConvNets under hard labels and are no claims about this row.",
    "Labels are the teacher's, as for the rows it is compared with; hard labels: --labels hard.",
)


def herding(info: DatasetInfo, ipc: int | None) -> Recipe:
    """iCaRL's form; `recover.form=welling` is the original one."""
    return _selection(
        "herding", "herding", Herding(), info,
        "s_{t+1} = argmin_x ‖ μ − (f(x) + Σ_{s chosen} f(s)) / (t + 1) ‖, class by class",
        "Welling, Herding Dynamical Weights to Learn, ICML 2009; Rebuffi et al., iCaRL: "
        "Incremental Classifier and Representation Learning, CVPR 2017, arXiv:1611.07725",
    )  # fmt: skip


def k_center(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Farthest first, from the image nearest to the mean of its class."""
    return _selection(
        "k_center", "k-center", KCenter(), info,
        "s_{t+1} = argmax_x min_{s chosen} ‖ f(x) − f(s) ‖, class by class",
        "Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set "
        "Approach, ICLR 2018, arXiv:1708.00489",
    )  # fmt: skip


def kmeans_nearest(info: DatasetInfo, ipc: int | None) -> Recipe:
    """The real images nearest to k-means centres."""
    return _selection(
        "kmeans_nearest", "k-means, nearest image", KMeansNearest(), info,
        "Centres that minimise Σ_x min_c ‖ f(x) − c ‖², and the real image nearest to each",
        "Cui et al., DC-BENCH: Dataset Condensation Benchmark, NeurIPS 2022, arXiv:2207.09639",
        licence="DC-BENCH's code: MIT. " + ANEW,
    )  # fmt: skip


def _selection(
    name: str,
    title: str,
    distiller: Distiller,
    info: DatasetInfo,
    objective: str,
    reference: str,
    licence: str = TEXTBOOK,
) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        squeeze=teacher_training(info),
        distiller=distiller,
        labeller=FKD(),
        reference=reference,
        objective=objective,
        provenance=(
            Provenance(settings="No setting but IPC; the form where there are two", source="here"),
            TEACHER_HERE,
        ),
        licence=licence,
        notes=NOTES,
        profiles=smoke(),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"herding": herding, "k_center": k_center, "kmeans_nearest": kmeans_nearest}
