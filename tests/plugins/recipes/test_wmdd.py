"""WMDD as a whole: the paper's settings, the release's, the ablation, and a bound of its atoms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.api.recipe import Recipe, Training
from ddbench.api.types import DatasetInfo
from ddbench.runtime.seeds import make_generator
from ddbench.testing import tiny_info
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.matchers._atoms import draw_start
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.wasserstein import BarycenterTarget, Wasserstein
from ddbench_plugins.recipes.wmdd import ce_bn, ce_pcbn, wasserstein_bn, wmdd, wmdd_code
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

NAMES = ("imagenette", "tiny_imagenet@224", "imagenet1k")


def large(name: str) -> DatasetInfo:
    return replace(tiny_info(pixels=224), name=name)


def terms(recipe: Recipe) -> tuple[list[Any], list[Any]]:
    """Matchers and regularizers with their weights."""
    both = recipe.matchers, recipe.regularizers
    matchers, regularizers = ([(term.weight, term.part) for term in some] for some in both)
    return matchers, regularizers


@pytest.mark.parametrize(
    ("name", "strength", "lr"), list(zip(NAMES, (10, 300, 500), (0.25, 0.1, 0.25), strict=True))
)
def test_settings_are_those_of_the_paper(name: str, strength: float, lr: float) -> None:
    """Table 7 and the text; squares and sums as in Eq. 12 to 15."""
    recipe = wmdd(large(name), 10)
    assert terms(recipe) == ([(1.0, Wasserstein(norm="squared"))], [(strength, ClassBatchNorm())])
    target = BarycenterTarget()
    assert (target.weights, target.iterations, target.theta) == ("learned", 10, 1.0)
    assert recipe.distiller == Optimize(iterations=2000, lr=lr, batch_size=100, betas=(0.5, 0.9))
    assert (recipe.distiller.crop, recipe.distiller.roll) == ((0.08, 1.0), (0, 32))
    assert recipe.labeller == FKD(temperature=20)
    teacher = recipe.squeeze
    assert isinstance(teacher, Training)
    assert (teacher.epochs, teacher.batch_size, teacher.lr) == (100, 32, 0.025)
    assert (teacher.optimizer, teacher.momentum, teacher.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (teacher.schedule, teacher.label_smoothing, teacher.warmup) == ("cosine", 0, 0)


@pytest.mark.parametrize(("name", "strength"), list(zip(NAMES, (10, 500, 500), strict=True)))
def test_the_release_has_its_own_objective(name: str, strength: float) -> None:
    recipe = wmdd_code(large(name), 10)
    target = BarycenterTarget(weights="uniform", init="normal", iterations=100)
    pcbn = ClassBatchNorm(
        norm="l2", weighted=False, class_reduction="mean", released_variance=True, first_layer=1.0
    )
    matchers = [(1.0, Wasserstein(target=target, norm="l2")), (1.0, CrossEntropy())]
    assert terms(recipe) == (matchers, [(strength, pcbn)])
    assert recipe.squeeze.epochs == 50
    assert recipe.distiller == wmdd(large(name), 10).distiller


def test_the_ablation_changes_one_term_at_a_time() -> None:
    info = large("imagenette")
    barycenter, pcbn = terms(wmdd(info, 10))
    entropy = [(1.0, CrossEntropy())]
    whole = [(10.0, BatchNorm(norm="squared", first_layer=1.0))]
    assert terms(ce_pcbn(info, 10)) == (entropy, pcbn)
    assert terms(wasserstein_bn(info, 10)) == (barycenter, whole)
    assert terms(ce_bn(info, 10)) == (entropy, whole)
    for make in (ce_pcbn, wasserstein_bn, ce_bn):
        found, own = make(info, 10), wmdd(info, 10)
        assert (found.distiller, found.squeeze, found.labeller) == (
            own.distiller, own.squeeze, own.labeller
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_equal_weights_cost_no_more_than_any_balanced_assignment(seed: int) -> None:
    """Equal groups of features around their means are a transport, if not the best one."""
    rng = make_generator(seed, "features")
    features = torch.randn(60, 4, generator=rng, dtype=torch.float64)
    atoms = BarycenterTarget(weights="uniform").atoms(features, 6, make_generator(seed))

    def spread(groups: list[Tensor]) -> float:
        return sum(float((g - g.mean(0)).square().sum()) for g in groups) / 60

    dealt = [features[torch.randperm(60, generator=rng)].split(10) for _ in range(20)]
    assert atoms.report["objective"] < min(spread(list(groups)) for groups in dealt)
    # By turns the nearest feature that is left, around the very features that the target starts at.
    cost = torch.cdist(draw_start(features, 6, make_generator(seed)), features)
    groups: list[list[int]] = [[] for _ in range(6)]
    for turn in range(60):
        row = int(cost[turn % 6].argmin())
        cost[:, row] = torch.inf
        groups[turn % 6].append(row)
    greedy = spread([features[rows] for rows in groups])
    assert atoms.report["objective"] <= greedy
    assert greedy < 0.8 * spread(list(dealt[0]))
