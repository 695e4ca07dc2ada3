"""WMDD, its released variant, and the four cells of the paper's ablation (Table 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ddbench import hookimpl
from ddbench.api.recipe import MatcherTerm, Recipe, RegularizerTerm
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.matchers.wasserstein import BarycenterTarget, Wasserstein
from ddbench_plugins.recipes._settings import (
    CROSS_ENTROPY,
    compose,
    derive,
    family,
    smoke,
    teacher_training,
)
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

PAPER_LAMBDA = {"imagenette": 10.0, "tiny_imagenet": 300.0, "imagenet1k": 500.0}


def choose_weight(info: DatasetInfo) -> float:
    """Returns the weight of the BatchNorm term: the paper's where it gives one, else tuned here."""
    return PAPER_LAMBDA.get(family(info), 10.0) if info.resolution > 16 else 10.0


def choose_norms(info: DatasetInfo) -> tuple[Wasserstein, ClassBatchNorm]:
    """Returns squared norms as in the paper's equations; up to 64 pixels plain ones, as released.

    Squared sums over thousands of channels drown the barycenter's term at lambda = 10, a value
    that belongs to the plain norms, averaged over the classes of a batch.
    """
    if info.resolution > 64:
        return Wasserstein(), ClassBatchNorm()
    return Wasserstein(norm="l2"), ClassBatchNorm(norm="l2", class_reduction="mean")


def choose_loop(info: DatasetInfo) -> Optimize:
    """Returns the recover loop: the paper's above 64 pixels, shorter below."""
    if info.resolution > 64:
        rate = 0.1 if family(info) == "tiny_imagenet" else 0.25
        return Optimize(iterations=2000, lr=rate)
    if info.resolution > 16:
        return Optimize(iterations=300, lr=0.25, roll=(0, 4))
    return Optimize(iterations=300, lr=0.1, crop=(0.6, 1.0), roll=(0, 0))


def wmdd(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Follows the paper's equations: learned barycenters (Eq. 12), weighted PCBN (Eq. 13-15)."""
    matcher, regularizer = choose_norms(info)
    return compose(
        "wmdd",
        info,
        choose_loop(info),
        FKD(),
        matchers=(MatcherTerm(name="wasserstein", weight=1.0, part=matcher),),
        regularizers=(
            RegularizerTerm(name="class_batch_norm", weight=choose_weight(info), part=regularizer),
        ),
        profiles=smoke(iterations=10),
    )


def wmdd_code(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Follows the released objective: cross-entropy, plain norms, equal weights, mean variances."""
    target = BarycenterTarget(weights="uniform", init="normal", iterations=100)
    return derive(
        wmdd(info, ipc),
        "wmdd_code",
        squeeze=teacher_training(info, paper_epochs=50),
        matchers=(
            MatcherTerm(name="wasserstein", weight=1.0, part=Wasserstein(target=target, norm="l2")),
            CROSS_ENTROPY,
        ),
        regularizers=(
            RegularizerTerm(
                name="class_batch_norm",
                weight={"tiny_imagenet": 500.0, "imagenet1k": 500.0}.get(family(info), 10.0),
                part=ClassBatchNorm(
                    norm="l2", weighted=False, class_reduction="mean", released_variance=True
                ),
            ),
        ),
    )


def ce_pcbn(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Replaces the distance to the barycenter by cross-entropy; per-class BatchNorm."""
    return derive(wmdd(info, ipc), "ce_pcbn", matchers=(CROSS_ENTROPY,))


def wasserstein_bn(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Matches the barycenter, with global BatchNorm statistics."""
    recipe = wmdd(info, ipc)
    return derive(recipe, "wasserstein_bn", regularizers=(_make_global(recipe),))


def ce_bn(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Minimises cross-entropy with global BatchNorm statistics: close to SRe2L."""
    recipe = ce_pcbn(info, ipc)
    return derive(recipe, "ce_bn", regularizers=(_make_global(recipe),))


def _make_global(recipe: Recipe) -> RegularizerTerm:
    """Returns global statistics under the norm and weight of the recipe's per-class term."""
    (old,) = recipe.regularizers
    assert isinstance(old.part, ClassBatchNorm)
    part = BatchNorm(norm=old.part.norm, first_layer=old.part.first_layer)
    return RegularizerTerm(name="batch_norm", weight=old.weight, part=part)


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {
        "wmdd": wmdd,
        "wmdd_code": wmdd_code,
        "ce_pcbn": ce_pcbn,
        "wasserstein_bn": wasserstein_bn,
        "ce_bn": ce_bn,
    }
