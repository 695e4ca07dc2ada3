"""EDC: real start, few iterations, category-aware statistics; and as far as one teacher goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import NamedArchitecture, Recipe, RegularizerTerm
from ddbench.api.types import DatasetInfo
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.recipes._settings import CROSS_ENTROPY, compose, derive, find_script, smoke
from ddbench_plugins.recipes.g_vbsm import MOBILENET, RESNET, SHUFFLENET, choose_backbones
from ddbench_plugins.regularizers._moving_average import MovingAverage
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.category_batch_norm import CategoryBatchNorm
from ddbench_plugins.regularizers.convolution import Convolution

CATEGORY = 0.5
"""Part of the statistics' weight that goes to the categories; the rest goes to the whole set."""


def choose_loop(info: DatasetInfo) -> tuple[Optimize, float]:
    """Returns the scripts' loop and weight of the statistics; without a script those for ten
    classes of ImageNet."""
    iterations, batch, smallest, weight = {
        "imagenet1k": (1000, 80, 0.5, 0.1),
        "cifar10": (75, 10, 0.08, 0.01),
        "cifar100": (2000, 100, 0.5, 0.01),
        "tiny_imagenet": (2000, 100, 0.5, 0.01),
    }.get(find_script(info), (50, 100, 0.5, 0.01))
    crop = (smallest, 1.0)
    loop = Optimize(
        iterations=iterations, batch_size=batch, lr=0.05, init="real", crop=crop, roll=(0, 0)
    )
    return loop, weight


def weigh_statistics(weight: float, average: MovingAverage) -> tuple[RegularizerTerm, ...]:
    """Returns the terms of BatchNorm's statistics: of the whole set, and of a batch's classes."""
    whole, classes = BatchNorm(average=average), CategoryBatchNorm(average=average)
    return (
        RegularizerTerm(name="batch_norm", weight=(1 - CATEGORY) * weight, part=whole),
        RegularizerTerm(name="category_batch_norm", weight=CATEGORY * weight, part=classes),
    )


def edc_one_teacher(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Adds gaps of statistics to cross-entropy, half of them to those of a batch's classes."""
    distiller, weight = choose_loop(info)
    return compose(
        "edc_one_teacher",
        info,
        distiller,
        FKD(),
        matchers=(CROSS_ENTROPY,),
        regularizers=weigh_statistics(weight, MovingAverage()),
        profiles=smoke(iterations=10),
    )


def choose_teachers(info: DatasetInfo) -> tuple[NamedArchitecture, ...]:
    """Returns the scripts' teachers, less AlexNet: for CIFAR G-VBSM's and three ConvNets more."""
    if find_script(info) in ("cifar10", "cifar100"):
        convnets = (
            NamedArchitecture(name="convnet1_bn", part=ConvNetD(1, norm="batch")),
            NamedArchitecture(name="convnet2_bn", part=ConvNetD(2, norm="batch")),
            NamedArchitecture(name="convnet3_narrow", part=ConvNetD(3, 32, norm="batch")),
        )
        return (*choose_backbones(info), *convnets)
    if info.resolution > 64 and find_script(info) != "imagenet1k":
        return (RESNET, MOBILENET, SHUFFLENET)
    return choose_backbones(info)


def edc(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Asks teachers in turn; averages statistics of BatchNorms, convolutions and patches."""
    distiller, weight = choose_loop(info)
    average = MovingAverage(0.8 if find_script(info) else 0.0)
    convolution = Convolution(
        patch=16 if info.resolution > 64 else 4, category=CATEGORY, average=average
    )
    return derive(
        edc_one_teacher(info, ipc),
        "edc",
        regularizers=(
            *weigh_statistics(weight, average),
            RegularizerTerm(name="convolution", weight=weight, part=convolution),
        ),
        distiller=replace(distiller, teachers="rotation"),
        labeller=MseGt(hard_weight=0.025),
        companions=choose_teachers(info),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"edc": edc, "edc_one_teacher": edc_one_teacher}
