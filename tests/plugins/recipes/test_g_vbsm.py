"""G-VBSM: equal norms, the settings of the scripts, and the whole method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import tiny_info
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.recipes.g_vbsm import g_vbsm


def logits(seed: int) -> Tensor:
    return torch.randn(6, 3, generator=make_generator(seed), dtype=torch.float64)


def test_equal_norms_make_all_frobenius_norms_equal() -> None:
    answers = torch.stack([logits(0), 10 * logits(1), 0.1 * logits(2)])
    part = MseGt(equal_norms=True)
    norms = answers.flatten(1).norm(dim=1)
    alike = sum(a / n for a, n in zip(answers, norms, strict=True)) * norms.mean() / 3
    torch.testing.assert_close(part.combined(answers), alike)
    torch.testing.assert_close(MseGt().combined(answers), answers.mean(0))
    torch.testing.assert_close(part.combined(answers[:1]), answers[0])
    assert torch.isfinite(part.combined(torch.zeros(2, 6, 3))).all()


@pytest.mark.parametrize(
    ("name", "pixels", "iterations", "lr", "patch", "decay", "drop", "hard", "teachers"),
    [
        ("imagenet1k", 224, 4000, 0.1, 16, 0.4, 0.0, 0.1, 4),
        ("cifar10", 32, 4000, 0.05, 4, 0.8, 0.4, 0.15, 5),
        ("tiny_imagenet@64", 64, 4000, 0.05, 4, 0.8, 0.4, 0.1, 5),
        ("digits", 8, 300, 0.1, 4, 0.8, 0.4, 0.1, 3),
    ],
)
def test_settings_are_those_of_the_scripts(
    name: str, pixels: int, iterations: int, lr: float, patch: int, decay: float, drop: float,
    hard: float, teachers: int,
) -> None:  # fmt: skip
    recipe = g_vbsm(replace(tiny_info(pixels=pixels), name=name), 10)
    part: Any = recipe.distiller
    assert isinstance(part, Optimize)
    assert (part.iterations, part.lr, part.init) == (iterations, lr, "noise")
    assert (part.teachers, part.layout) == ("rotation", "classes")
    norm, convolution, _ = (term.part for term in recipe.regularizers)
    assert (convolution.patch, convolution.average.decay, convolution.drop) == (patch, decay, drop)
    assert (norm.average, norm.drop) == (convolution.average, convolution.drop)
    assert not norm.average.from_zero
    assert [term.weight for term in recipe.regularizers] == [0.01, 0.01, 1.0]
    assert recipe.labeller.hard_weight == hard
    assert len(recipe.companions) == teachers


def test_g_vbsm_runs_end_to_end(ddbench: Callable[..., Any], tiny: list[Any], cache: Cache) -> None:
    options = ["--teacher", "convnet3_bn+wide_resnet16_2", "--set", "recover.iterations=3",
               "--set", "teacher.wide_resnet16_2.widen=1"]  # fmt: skip
    done = ddbench("run", *tiny, "-m", "g_vbsm", "--ipc", 2, "--no-reference", *options)
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
    assert record.labels == "mse_gt"
    assert record.teachers == ["convnet3_bn", "wide_resnet16_2"]
    assert len(record.keys["statistics"]) == 4  # of channels and patches, of each teacher
