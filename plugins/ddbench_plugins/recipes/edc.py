"""EDC: real start, few iterations, category-aware statistics; and as far as one teacher goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import (
    MatcherTerm,
    NamedArchitecture,
    Recipe,
    RegularizerTerm,
)
from ddbench.api.types import DatasetInfo
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.recipes._settings import (
    card,
    scripted,
    smoke,
    teacher_training,
)
from ddbench_plugins.recipes.g_vbsm import MOBILENET, RESNET, SHUFFLENET, backbones
from ddbench_plugins.regularizers._moving_average import MovingAverage
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.category_batch_norm import CategoryBatchNorm
from ddbench_plugins.regularizers.convolution import Convolution

CATEGORY = 0.5
"""Part of the statistics' weight that goes to the categories; the rest goes to the whole set."""


def loop(info: DatasetInfo) -> tuple[Optimize, float]:
    """The scripts' loop and weight of the statistics; for ten large classes where there is none."""
    iterations, batch, smallest, weight = {
        "imagenet1k": (1000, 80, 0.5, 0.1),
        "cifar10": (75, 10, 0.08, 0.01),
        "cifar100": (2000, 100, 0.5, 0.01),
        "tiny_imagenet": (2000, 100, 0.5, 0.01),
    }.get(scripted(info), (50, 100, 0.5, 0.01))
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
        card=card("edc_one_teacher"),
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
    )


def pool(info: DatasetInfo) -> tuple[NamedArchitecture, ...]:
    """The scripts' teachers, but for AlexNet; for CIFAR three ConvNets more than G-VBSM has."""
    if scripted(info) in ("cifar10", "cifar100"):
        convnets = (
            NamedArchitecture(name="convnet1_bn", part=ConvNetD(1, norm="batch")),
            NamedArchitecture(name="convnet2_bn", part=ConvNetD(2, norm="batch")),
            NamedArchitecture(name="convnet3_narrow", part=ConvNetD(3, 32, norm="batch")),
        )
        return (*backbones(info), *convnets)
    if info.resolution > 64 and scripted(info) != "imagenet1k":
        return (RESNET, MOBILENET, SHUFFLENET)
    return backbones(info)


def edc(info: DatasetInfo, ipc: int | None) -> Recipe:
    """The teachers in turn; averaged statistics of BatchNorms, convolutions and patches."""
    distiller, weight = loop(info)
    average = MovingAverage(0.8 if scripted(info) else 0.0)
    convolution = Convolution(
        patch=16 if info.resolution > 64 else 4, category=CATEGORY, average=average
    )
    parts = {
        "batch_norm": ((1 - CATEGORY) * weight, BatchNorm(average=average)),
        "category_batch_norm": (CATEGORY * weight, CategoryBatchNorm(average=average)),
        "convolution": (weight, convolution),
    }
    return replace(
        edc_one_teacher(info, ipc),
        name="edc",
        card=card("edc"),
        regularizers=tuple(
            RegularizerTerm(name=name, weight=share, part=part)
            for name, (share, part) in parts.items()
        ),
        distiller=replace(distiller, teachers="rotation"),
        labeller=MseGt(hard_weight=0.025),
        companions=pool(info),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"edc": edc, "edc_one_teacher": edc_one_teacher}
