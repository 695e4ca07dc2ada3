"""Dataset condensation by matching gradients: DC and DSA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ddbench import hookimpl
from ddbench.api.recipe import Claim, Provenance, Recipe
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._synthetic import DSA
from ddbench_plugins.distillers.gradient_matching import GradientMatching
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.recipes._claims import table_claims
from ddbench_plugins.recipes._settings import ANEW, SMALL_HERE, smoke, teacher_training

LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
"""Steps of the images for each network, and epochs of the network between them, by IPC."""
DC_CLAIMS = {"cifar10": {1: 28.3, 10: 44.9, 50: 53.9}, "cifar100": {1: 12.8, 10: 25.2}}
DSA_CLAIMS = {"cifar10": {1: 28.8, 10: 52.1, 50: 60.6}, "cifar100": {1: 13.9, 10: 32.3}}
NOTES = (
    "Distilled through and judged on a ConvNet: --teacher convnet3 --arch convnet3 --protocol dc.",
    "Images are stored as float32 and may leave the range of pixels, as in the released code.",
    "The images step once on the sum of the classes, as released; the paper steps class by class.",
    "At 16 pixels and below networks, real batches and epochs are cut to what a CPU does in two "
    "minutes, and the rate is 0.003: a pixel's gradient is a thousand times that of DM, and at 0.1 "
    "the first step is larger than the image.",
)
PROVENANCE = (
    Provenance(
        settings=(
            "CIFAR-10 and CIFAR-100 at IPC 1, 10, 20, 30, 40 and 50: 1,000 networks, the loops, "
            "rates 0.1 and 0.01, batches of 256"
        ),
        source="code",
    ),
    Provenance(
        settings="Other IPC: the largest that is not above; other data sets: the same",
        source="here",
    ),
    SMALL_HERE,
)
LICENCE = "Released code: MIT. " + ANEW


def loop(info: DatasetInfo, ipc: int | None) -> GradientMatching:
    """1,000 networks with the loops of an IPC; on tiny images some 300 steps in all."""
    outer, inner = LOOPS[max(count for count in LOOPS if count <= max(ipc or 1, 1))]
    if info.resolution > 16:
        return GradientMatching(outer=outer, inner=inner)
    return GradientMatching(
        iterations=300 // outer, outer=outer, inner=min(inner, 5), batch_real=32, lr=0.003
    )


def claims(rows: Mapping[str, Mapping[int, float]], setting: str) -> tuple[Claim, ...]:
    return table_claims(rows, setting, student="convnet3", source="released code's page")


def dc(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Gradients of real and synthetic images in networks that learn from the latter."""
    return Recipe(
        name="dc",
        title="DC",
        squeeze=teacher_training(info),
        distiller=loop(info, ipc),
        labeller=Hard(),
        profiles=smoke(iterations=3, outer=2, inner=1),
        objective="min_S E_θ0 Σ_t Σ_c D(∇_θ CE(θ_t; T_c), ∇_θ CE(θ_t; S_c)), D = Σ_rows 1 − cos",
        provenance=PROVENANCE,
        licence=LICENCE,
        reference=(
            "Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021, arXiv:2006.05929"
        ),
        claims=claims(DC_CLAIMS, "300 student epochs without augmentation"),
        notes=(
            *NOTES,
            "Its own figures are of 300 student epochs without augmentation: --set "
            "evaluate.epochs=301 --set 'evaluate.augmentation.one_of=\"\"'.",
        ),
    )


def dsa(info: DatasetInfo, ipc: int | None) -> Recipe:
    """DC with one augmentation for real and synthetic images, from real images on."""
    return Recipe(
        name="dsa",
        title="DSA",
        squeeze=teacher_training(info),
        distiller=replace(loop(info, ipc), augment=DSA, init="real"),
        labeller=Hard(),
        profiles=smoke(iterations=3, outer=2, inner=1),
        objective=(
            "min_S E_θ0,ω Σ_t Σ_c D(∇_θ CE(θ_t; A_ω T_c), ∇_θ CE(θ_t; A_ω S_c)), D = Σ_rows 1 − cos"
        ),
        provenance=PROVENANCE,
        licence=LICENCE,
        reference=(
            "Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML "
            "2021, arXiv:2102.08259"
        ),
        claims=claims(DSA_CLAIMS, "1,000 student epochs with DSA"),
        notes=(
            *NOTES,
            "Draws are functions of the seed; the released code takes its seeds from the clock.",
        ),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"dc": dc, "dsa": dsa}
