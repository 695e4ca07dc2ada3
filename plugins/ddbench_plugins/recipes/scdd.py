"""SCDD: SRe2L through a teacher whose backbone was trained without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Augmentation, LinearProbe, Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.pretraining.moco import MomentumContrast
from ddbench_plugins.recipes._claims import table_claims
from ddbench_plugins.recipes._settings import ANEW, UNCLEAR, scripted, teacher_training
from ddbench_plugins.recipes.sre2l import GROUPS, sre2l

CLAIMS = {
    "tiny_imagenet": {10: (31.6, 0.1), 50: (45.9, 0.2)},
    "imagenet1k": {10: (32.1, 0.2), 50: (53.1, 0.1), 100: (57.9, 0.1)},
}
"""WMDD paper, Table 1."""
PAGE_CLAIMS = {"cifar100": {50: 53.4}, "imagenet1k": {200: 63.5}}
SETTING = "labels of a supervised teacher"
SHORT = {"squeeze.pretraining.epochs": "1", "label_squeeze.epochs": "2"}
"""What the profile `smoke` cuts besides."""


def teacher(info: DatasetInfo) -> LinearProbe:
    """Momentum contrast, then a linear probe; the paper's lengths above 64 pixels."""
    small = info.resolution <= 64
    rate = 0.06 if scripted(info) in ("tiny_imagenet", "cifar100") else 0.03
    if info.resolution <= 16:
        pretraining = MomentumContrast(
            epochs=30, batch_size=64, lr=0.06, queue=512, crop=(0.6, 1.0), colour=False
        )
        # AdamW: SGD at 0.03 has not begun to learn in so few updates.
        return LinearProbe(
            pretraining=pretraining, epochs=20, batch_size=64, optimizer="adamw", lr=0.01,
            weight_decay=0.0, augmentation=Augmentation(crop=(0.6, 1.0), mix="none"),
        )  # fmt: skip
    return LinearProbe(
        pretraining=MomentumContrast(epochs=60 if small else 200),
        epochs=30 if small else 200,
        batch_size=256,
        optimizer="sgd",
        lr=rate,
        weight_decay=0.0,
        augmentation=Augmentation(crop=(0.2, 1.0), mix="none"),
    )


def scdd(info: DatasetInfo, ipc: int | None) -> Recipe:
    """SRe2L's objective and loop; a supervised teacher for labels."""
    base = sre2l(info, ipc)
    distiller, regularizers = base.distiller, base.regularizers
    assert isinstance(distiller, Optimize)
    if scripted(info) == "cifar100":
        distiller = replace(distiller, lr=0.4)
        regularizers = (replace(regularizers[0], weight=0.005),)
    elif scripted(info) == "tiny_imagenet":
        distiller = replace(distiller, lr=0.6)
    elif scripted(info) == "imagenet1k":
        distiller = replace(distiller, iterations=1000, batch_size=50)
    return replace(
        base,
        name="scdd",
        title="SCDD",
        squeeze=teacher(info),
        label_squeeze=teacher_training(info),
        distiller=distiller,
        regularizers=regularizers,
        profiles={name: {**options, **SHORT} for name, options in base.profiles.items()},
        objective=(
            "SRe2L's through another teacher: min_x CE(z(A x), y) + r Σ_l c_l (‖μ_l − μ̂_l‖ + "
            "‖σ²_l − σ̂²_l‖), the backbone trained without labels by momentum contrast, then "
            "frozen under a linear probe"
        ),
        provenance=(
            Provenance(
                settings=(
                    "CIFAR-100 at 32 pixels: iterations, batches, rate, r; ImageNet-1K above 64 "
                    "pixels: iterations, batches, r"
                ),
                source="code",
            ),
            Provenance(
                settings=(
                    "Rates of Tiny ImageNet at 64 pixels and ImageNet-1K; linear probes "
                    "above 64 pixels"
                ),
                source="paper",
            ),
            Provenance(
                settings=(
                    "Pretraining, on the data set itself; linear probes at 64 pixels and below; "
                    "the rest of Tiny ImageNet's loop, other data sets, and these at other sizes: "
                    "SRe2L's; every IPC the same; the teacher that labels is trained as all "
                    "methods' is"
                ),
                source="here",
            ),
        ),
        licence=UNCLEAR + ANEW,
        reference=(
            "Zhou et al., Self-supervised Dataset Distillation: A Good Compression Is All You "
            "Need, 2024, arXiv:2404.07976"
        ),
        claims=(
            *table_claims(CLAIMS, SETTING),
            *table_claims(PAGE_CLAIMS, SETTING, source="released code's page"),
        ),
        notes=(
            "The release takes published weights of MoCo, SwAV or DINO, of ResNet-50 on ImageNet; "
            "here the cell's teacher is trained by momentum contrast on the data set itself.",
            "Recover settings are those of the release for CIFAR-100 and ImageNet-1K, but for the "
            "paper's rate 0.25 on the latter, where the README has 0.1; on Tiny ImageNet the "
            "paper's rate in SRe2L's loop. Elsewhere SRe2L's. Linear probes are the paper's above "
            "64 pixels, shorter below.",
            "On CIFAR-100 the release labels with a teacher in training mode and normalises with "
            "CIFAR-10's constants; neither is reproduced.",
            GROUPS,
        ),
    )  # fmt: skip


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"scdd": scdd}
