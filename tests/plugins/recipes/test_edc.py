"""EDC with its teachers: settings, real start, and the whole method under its protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.config.grid import Selection, expand
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import TinyProblem, tiny_info
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.recipes.edc import edc, edc_one_teacher


@pytest.mark.parametrize(
    ("name", "pixels", "decay", "patch", "weight", "teachers"),
    [("imagenet1k", 224, 0.8, 16, 0.1, 4), ("imagenette", 224, 0.0, 16, 0.01, 3),
     ("cifar10", 32, 0.8, 4, 0.01, 8), ("tiny_imagenet@64", 64, 0.8, 4, 0.01, 5)],
)  # fmt: skip
def test_settings_are_those_of_the_scripts(
    name: str, pixels: int, decay: float, patch: int, weight: float, teachers: int
) -> None:
    info = replace(tiny_info(pixels=pixels), name=name)
    recipe, single = edc(info, 10), edc_one_teacher(info, 10)
    part: Any = recipe.distiller
    assert part == replace(single.distiller, teachers="rotation")
    assert (part.init, part.roll, part.lr) == ("real", (0, 0), 0.05)
    whole, category, convolution = recipe.regularizers
    assert [term.weight for term in recipe.regularizers] == [weight / 2, weight / 2, weight]
    assert {t.part.average.decay for t in (whole, category, convolution)} == {decay}
    assert (convolution.part.patch, convolution.part.category) == (patch, 0.5)
    assert convolution.part.drop == whole.part.drop == 0
    assert recipe.labeller.hard_weight == 0.025
    assert len({named.part for named in recipe.companions}) == teachers
    assert single.companions == ()


def test_a_real_start_without_steps_gives_real_images() -> None:
    part = Optimize(iterations=1, lr=0.0, init="real", clamp=False)
    problem = TinyProblem()
    made = part.recover(problem, torch.arange(6))
    for row, cls in enumerate(problem.labels.tolist()):
        gaps = (problem.real(cls) - made[row]).flatten(1).norm(dim=1)
        assert gaps.min() == 0


def test_its_protocol_averages_the_weights(registry: Any) -> None:
    (made,) = expand(
        Selection(seeds=1, reference=False, methods=("edc",), protocols=("edc",)), registry, None
    )
    training = made.cell.protocol.training
    assert (training.schedule, training.weight_ema) == ("half_cosine", 0.9)
    large = registry.get("protocol", "edc")(tiny_info(pixels=224)).training
    assert (large.weight_ema, large.augmentation.crop, large.batch_size) == (0.99, (0.5, 1.0), 50)
    with pytest.raises(DDBenchError, match=r"evaluate: weight_ema is 1\.5"):
        expand(Selection(seeds=1, assignments={"evaluate.weight_ema": "1.5"}), registry, None)


def test_edc_runs_end_to_end(ddbench: Callable[..., Any], tiny: list[Any], cache: Cache) -> None:
    options = ["--teacher", "convnet3_bn+wide_resnet16_2", "--set", "recover.iterations=3",
               "--set", "teacher.wide_resnet16_2.widen=1", "--set", "evaluate.weight_ema=0.5",
               "--set", "regularizer.convolution.average.decay=0.8"]  # fmt: skip
    done = ddbench("run", *tiny, "-m", "edc", "--ipc", 2, "--no-reference", *options)
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert (record.status, record.labels) == ("ok", "mse_gt")
    assert record.teachers == ["convnet3_bn", "wide_resnet16_2"]
    assert len(record.keys["statistics"]) == 10  # five of each teacher


# -- one teacher -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "iterations", "batch", "smallest", "weight"),
    [("imagenet1k", 1000, 80, 0.5, 0.1), ("imagenette", 50, 100, 0.5, 0.01),
     ("cifar10", 75, 10, 0.08, 0.01), ("tiny_imagenet@64", 2000, 100, 0.5, 0.01)],
)  # fmt: skip
def test_settings_of_one_teacher_are_those_of_the_scripts(
    name: str, iterations: int, batch: int, smallest: float, weight: float
) -> None:
    side = {"cifar10": 32, "tiny_imagenet@64": 64}.get(name, 224)
    recipe = edc_one_teacher(replace(tiny_info(pixels=side), name=name), 10)
    part = recipe.distiller
    assert isinstance(part, Optimize)
    assert (part.iterations, part.batch_size, part.crop) == (iterations, batch, (smallest, 1.0))
    assert (part.init, part.lr, part.roll) == ("real", 0.05, (0, 0))
    assert [term.weight for term in recipe.regularizers] == [weight / 2, weight / 2]


def test_edc_of_one_teacher_runs_end_to_end(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache
) -> None:
    options = ["--set", "recover.iterations=3"]
    done = ddbench(
        "run", *tiny, "--method", "edc_one_teacher", "--ipc", 2, "--no-reference", *options
    )
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
    assert "statistics" in record.keys
