"""G-VBSM: several backbones in turn, statistics of convolutions and patches, densification."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import (
    MatcherTerm,
    NamedArchitecture,
    Provenance,
    Recipe,
    RegularizerTerm,
)
from ddbench.api.types import DatasetInfo
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.mobile import Mobile
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.architectures.wide_resnet import WideResNet
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.recipes._claims import table_claims, transfer_claims
from ddbench_plugins.recipes._settings import (
    ANEW,
    TEACHER_HERE,
    UNCLEAR,
    scripted,
    smoke,
    teacher_training,
)
from ddbench_plugins.regularizers._moving_average import MovingAverage
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.convolution import Convolution
from ddbench_plugins.regularizers.densification import Densification

CLAIMS = {
    "tiny_imagenet": {50: (47.6, 0.3), 100: (51.0, 0.4)},
    "imagenet1k": {10: (31.4, 0.5), 50: (51.8, 0.4), 100: (55.7, 0.4)},
}
"""WMDD paper, Table 1: ResNet-18."""
TRANSFER_CLAIMS = {"resnet50": 59.08, "resnet101": 59.30, "vit_tiny": 30.30, "vit_small": 30.83}
"""WMDD paper, Table 2: ImageNet-1K, IPC 50."""
PAGE_CLAIMS = {"cifar100": {10: 38.7}}
SETTING = "labels of the teachers"
STATISTICS = 0.01
"""Weight of the statistics, of every script."""

RESNET = NamedArchitecture(name="resnet18", part=ResNet(18))
CONVNET = NamedArchitecture(name="convnet3_bn", part=ConvNetD(3, norm="batch"))
MOBILENET = NamedArchitecture(name="mobilenet_v2", part=Mobile("mobilenet_v2"))
SHUFFLENET = NamedArchitecture(name="shufflenet_v2_x0_5", part=Mobile("shufflenet_v2_x0_5"))
EFFICIENTNET = NamedArchitecture(name="efficientnet_b0", part=Mobile("efficientnet_b0"))
WIDE_RESNET = NamedArchitecture(name="wide_resnet16_2", part=WideResNet(16, 2))


def backbones(info: DatasetInfo) -> tuple[NamedArchitecture, ...]:
    """The scripts' teachers; up to 16 pixels those that train within a minute on a CPU."""
    if info.resolution > 64:
        return (RESNET, MOBILENET, EFFICIENTNET, SHUFFLENET)
    if info.resolution > 16:
        return (RESNET, CONVNET, MOBILENET, WIDE_RESNET, SHUFFLENET)
    return (RESNET, CONVNET, WIDE_RESNET)


def loop(info: DatasetInfo) -> Optimize:
    """The scripts' loop where there is one, else SRe2L's settings at 64 pixels and below."""
    if info.resolution > 64:
        return Optimize(iterations=4000, batch_size=80, lr=0.1, teachers="rotation")
    if scripted(info):
        shift = 8 if info.resolution > 32 else 4
        return Optimize(
            iterations=4000, lr=0.05, crop=(1.0, 1.0), roll=(-shift, shift), teachers="rotation"
        )
    if info.resolution > 16:
        return Optimize(iterations=300, lr=0.25, roll=(0, 4), teachers="rotation")
    return Optimize(iterations=300, lr=0.1, crop=(0.6, 1.0), roll=(0, 0), teachers="rotation")


def g_vbsm(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Cross-entropy, averaged statistics of BatchNorms, convolutions and patches, densification."""
    large = info.resolution > 64
    average, drop = MovingAverage(0.4 if large else 0.8), 0.0 if large else 0.4
    convolution = Convolution(patch=16 if large else 4, average=average, drop=drop)
    return Recipe(
        name="g_vbsm",
        title="G-VBSM",
        squeeze=teacher_training(info),
        matchers=(MatcherTerm(name="cross_entropy", weight=1.0, part=CrossEntropy()),),
        regularizers=(
            RegularizerTerm(
                name="batch_norm", weight=STATISTICS, part=BatchNorm(average=average, drop=drop)
            ),
            RegularizerTerm(name="convolution", weight=STATISTICS, part=convolution),
            RegularizerTerm(name="densification", weight=1.0, part=Densification()),
        ),
        distiller=loop(info),
        labeller=MseGt(
            hard_weight=0.15 if scripted(info) in ("cifar10", "cifar100") else 0.1,
            equal_norms=large,
        ),
        companions=backbones(info),
        profiles=smoke(iterations=10),
        objective=(
            "min_x CE(z_t(A x), y) + r Σ_l c_l (‖μ̄_l − μ̂_l‖ + ‖σ̄²_l − σ̂²_l‖, of BatchNorms, "
            "convolutions and patches) + Σ_c KL(softmax(λ_c/τ) ‖ softmax(λ_c)), one teacher t an "
            "iteration; λ_c: eigenvalues of the Gram matrix of class c, τ = 4"
        ),
        provenance=(
            Provenance(
                settings=(
                    "ImageNet-1K above 64 pixels, CIFAR-10 and CIFAR-100 at 32, Tiny ImageNet at "
                    "64: teachers, iterations, batches, rates, r, averages, dropped layers, the "
                    "student's loss"
                ),
                source="code",
            ),
            Provenance(
                settings=(
                    "Other data sets, and these at other sizes: those of ImageNet-1K above 64 "
                    "pixels, below the small scripts' statistics with SRe2L's shorter loop; every "
                    "IPC the same"
                ),
                source="here",
            ),
            TEACHER_HERE,
        ),
        licence=UNCLEAR + ANEW,
        reference=(
            "Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and "
            "Statistical Matching, CVPR 2024, arXiv:2311.17950"
        ),
        claims=(
            *table_claims(CLAIMS, SETTING),
            *transfer_claims(TRANSFER_CLAIMS, SETTING),
            *table_claims(PAGE_CLAIMS, SETTING, student="", source="released code's page"),
        ),
        notes=(
            "Settings are those of the released scripts for ImageNet-1K, CIFAR-10/100 and Tiny "
            "ImageNet at 64 pixels. There are none for ImageNette or digits: above 64 pixels "
            "those of ImageNet-1K, below the small scripts' statistics with SRe2L's shorter loop.",
            "All teachers are trained here and alike; the release takes torchvision's weights on "
            "ImageNet-1K, and teachers of 5 to 50 epochs elsewhere. Which teachers it takes at "
            "8 pixels is this project's choice.",
            "Moving averages start from the first batch and are forgotten between groups of "
            "images. The release starts them at 0 by mistake (average.from_zero=true) and carries "
            "them over. Its scripts divide a batch over two GPUs, so that statistics are of 40 to "
            "50 images.",
            "Real statistics are exact and of plain images; the release averages variances of "
            "augmented batches. Its padded crops are circular shifts here.",
            "The student's loss is the release's, its training that of the protocol.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"g_vbsm": g_vbsm}
