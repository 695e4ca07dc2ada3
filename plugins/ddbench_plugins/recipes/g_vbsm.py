"""G-VBSM: several backbones in turn, statistics of convolutions and patches, densification."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import NamedArchitecture, Recipe, RegularizerTerm
from ddbench.api.types import DatasetInfo
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.mobile import Mobile
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.architectures.wide_resnet import WideResNet
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.recipes._settings import CROSS_ENTROPY, compose, find_script, smoke
from ddbench_plugins.regularizers._moving_average import MovingAverage
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.convolution import Convolution
from ddbench_plugins.regularizers.densification import Densification

STATISTICS = 0.01
"""Weight of the statistics, of every script."""

RESNET = NamedArchitecture(name="resnet18", part=ResNet(18))
CONVNET = NamedArchitecture(name="convnet3_bn", part=ConvNetD(3, norm="batch"))
MOBILENET = NamedArchitecture(name="mobilenet_v2", part=Mobile("mobilenet_v2"))
SHUFFLENET = NamedArchitecture(name="shufflenet_v2_x0_5", part=Mobile("shufflenet_v2_x0_5"))
EFFICIENTNET = NamedArchitecture(name="efficientnet_b0", part=Mobile("efficientnet_b0"))
WIDE_RESNET = NamedArchitecture(name="wide_resnet16_2", part=WideResNet(16, 2))


def choose_backbones(info: DatasetInfo) -> tuple[NamedArchitecture, ...]:
    """Returns the scripts' teachers; up to 16 pixels those that train within a minute on a CPU."""
    if info.resolution > 64:
        return (RESNET, MOBILENET, EFFICIENTNET, SHUFFLENET)
    if info.resolution > 16:
        return (RESNET, CONVNET, MOBILENET, WIDE_RESNET, SHUFFLENET)
    return (RESNET, CONVNET, WIDE_RESNET)


def choose_loop(info: DatasetInfo) -> Optimize:
    """Returns the scripts' loop; where there is none, SRe2L's settings at 64 pixels and below."""
    if info.resolution > 64:
        return Optimize(iterations=4000, batch_size=80, lr=0.1, teachers="rotation")
    if find_script(info):
        shift = 8 if info.resolution > 32 else 4
        return Optimize(
            iterations=4000, lr=0.05, crop=(1.0, 1.0), roll=(-shift, shift), teachers="rotation"
        )
    if info.resolution > 16:
        return Optimize(iterations=300, lr=0.25, roll=(0, 4), teachers="rotation")
    return Optimize(iterations=300, lr=0.1, crop=(0.6, 1.0), roll=(0, 0), teachers="rotation")


def g_vbsm(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Adds gaps of averaged statistics, convolutions' too, and densification to cross-entropy."""
    large = info.resolution > 64
    average, drop = MovingAverage(0.4 if large else 0.8), 0.0 if large else 0.4
    convolution = Convolution(patch=16 if large else 4, average=average, drop=drop)
    hard = 0.15 if find_script(info) in ("cifar10", "cifar100") else 0.1
    return compose(
        "g_vbsm",
        info,
        choose_loop(info),
        MseGt(hard_weight=hard, equal_norms=large),
        matchers=(CROSS_ENTROPY,),
        regularizers=(
            RegularizerTerm(
                name="batch_norm", weight=STATISTICS, part=BatchNorm(average=average, drop=drop)
            ),
            RegularizerTerm(name="convolution", weight=STATISTICS, part=convolution),
            RegularizerTerm(name="densification", weight=1.0, part=Densification()),
        ),
        companions=choose_backbones(info),
        profiles=smoke(iterations=10),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"g_vbsm": g_vbsm}
