"""EDC, as far as one teacher goes: real start, few iterations, category-aware statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.spec import MatcherTerm, Provenance, Recipe, RegularizerTerm
from ddbench.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.recipes.settings import (
    ANEW,
    TEACHER_HERE,
    UNCLEAR,
    family,
    smoke,
    teacher_training,
)
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.category_batch_norm import CategoryBatchNorm

CATEGORY = 0.5
"""Part of the statistics' weight that goes to the categories; the rest goes to the whole set."""


def loop(info: DatasetInfo) -> tuple[Optimize, float]:
    """The scripts' loop and weight of the statistics; for ten large classes where there is none."""
    iterations, batch, smallest, weight = {
        "imagenet1k": (1000, 80, 0.5, 0.1),
        "cifar10": (75, 10, 0.08, 0.01),
        "cifar100": (2000, 100, 0.5, 0.01),
        "tiny_imagenet": (2000, 100, 0.5, 0.01),
    }.get(family(info), (50, 100, 0.5, 0.01))
    part = Optimize(
        iterations=iterations,
        batch_size=batch,
        lr=0.05,
        init="real",
        crop=(smallest, 1.0),
        roll=(0, 0),
    )
    return part, weight


def edc_one_teacher(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Cross-entropy, with half of the statistics' weight on the categories of a batch."""
    distiller, weight = loop(info)
    return Recipe(
        name="edc_one_teacher",
        title="EDC (one teacher)",
        squeeze=teacher_training(info),
        matchers=(MatcherTerm(name="cross_entropy", weight=1.0, part=CrossEntropy()),),
        regularizers=(
            RegularizerTerm(name="batch_norm", weight=(1 - CATEGORY) * weight, part=BatchNorm()),
            RegularizerTerm(
                name="category_batch_norm", weight=CATEGORY * weight, part=CategoryBatchNorm()
            ),
        ),
        distiller=distiller,
        labeller=FKD(),
        profiles=smoke(iterations=10),
        objective=(
            "min_x CE(z(A x), y) + r Σ_l c_l (½ gap to the statistics of all + ½ gap to the mean "
            "of "
            "those of the batch's classes)"
        ),
        provenance=(
            Provenance(
                settings=(
                    "ImageNet-1K, ten classes of ImageNet, CIFAR-10 at IPC 1, CIFAR-100, Tiny "
                    "ImageNet: iterations, batches, crops, r, rate"
                ),
                source="code",
            ),
            Provenance(
                settings="Other data sets: those of ten classes of ImageNet; every IPC the same",
                source="here",
            ),
            TEACHER_HERE,
        ),
        licence=UNCLEAR + ANEW,
        reference=(
            "Shao et al., Elucidating the Design Space of Dataset Condensation, NeurIPS 2024, "
            "arXiv:2404.13733"
        ),
        notes=(
            "Not all of EDC. Left out in distillation: the pool of three to eight teachers, "
            "statistics of convolutions and patches, their moving average over iterations, and, on "
            "ImageNet, the start from RDED's mosaics (random training images here, as in EDC's "
            "CIFAR and Tiny ImageNet settings).",
            "Left out in the student's training, which the protocol decides: the moving average of "
            "weights, the squared error of logits plus hard labels, and the half-cosine rate.",
            "The scripts divide a batch over up to four GPUs, so that their statistics are of as "
            "few as 20 images.",
            "No accuracies are listed: none are in the WMDD paper's tables, and those of EDC's own "
            "paper are of the whole method.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"edc_one_teacher": edc_one_teacher}
