"""G-VBSM: densification and student loss against values known on paper, and the whole method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddbench.api.types import Step
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import tiny_batch, tiny_info, tiny_step
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.recipes.g_vbsm import g_vbsm
from ddbench_plugins.regularizers.densification import Densification, spectrum_gap

INFO = tiny_info()


# -- densification ---------------------------------------------------------------------------------


def seen(images: Tensor, labels: tuple[int, ...]) -> Step:
    """A step with these very images, in float64, which no network sees."""
    step = tiny_step(Densification(), images=images.float(), labels=labels)
    return replace(step, images=images.clone().requires_grad_(True))


def cost_of(part: Densification, step: Step) -> float:
    return part.penalty(step).item()


def test_densification_has_the_value_of_the_notes() -> None:
    """methods.md 2.12: eigenvalues (3, 1, 0.5) at τ = 4."""
    values = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    assert float(spectrum_gap(values, 4.0)) == pytest.approx(0.32846043, abs=1e-8)
    images = torch.zeros(4, 3, 8, 8, dtype=torch.float64)
    for row, value in enumerate(values):
        images[row, 0, 0, row] = (value / 16) ** 0.5  # pooling to 32 pixels repeats each 16 times
    images[3, 1, 1, 1] = 5.0  # alone in its class
    step = seen(images, (0, 0, 0, 1))
    assert cost_of(Densification(), step) == pytest.approx(0.32846043, abs=1e-8)


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [0.0, 0.0], [1.3]])
def test_an_even_spectrum_costs_nothing(values: list[float]) -> None:
    assert float(spectrum_gap(torch.tensor(values), 4.0)) == pytest.approx(0, abs=1e-7)


def test_a_temperature_of_one_costs_nothing() -> None:
    step = tiny_step(Densification(), labels=(0, 0, 0, 1, 1))
    assert cost_of(Densification(temperature=1.0), step) == pytest.approx(0, abs=1e-5)
    assert cost_of(Densification(side=4), replace(step, images=0.1 * step.images)) > 1e-4


def test_images_alone_in_their_class_cost_nothing() -> None:
    step = tiny_step(Densification(), labels=(0, 1, 2))
    assert cost_of(Densification(), step) == 0


def test_the_gradient_of_densification_agrees_with_finite_differences() -> None:
    """With the wanted spectrum held, as sg does."""
    part = Densification(side=8)
    start = 0.1 * torch.randn(4, 3, 8, 8, generator=make_generator(0), dtype=torch.float64)
    step = seen(start, (0, 0, 0, 0))
    (slope,) = torch.autograd.grad(part.penalty(step), [step.images])
    gram = start.flatten(1) @ start.flatten(1).T
    wanted = (torch.linalg.eigvalsh(gram) / 4).softmax(0)

    def cost(images: Tensor) -> float:
        flat = images.flatten(1)
        values = torch.linalg.eigvalsh(flat @ flat.T)
        return float((wanted * (wanted.log() - values.log_softmax(0))).sum())

    for seed in range(3):
        way = torch.randn(start.shape, generator=make_generator(1, seed), dtype=torch.float64)
        expected = (cost(start + 1e-5 * way) - cost(start - 1e-5 * way)) / 2e-5
        assert float((slope * way).sum()) == pytest.approx(expected, rel=1e-5)


def test_densification_evens_out_the_spectrum() -> None:
    part = Densification(side=8)
    images = 0.05 * torch.randn(4, 3, 8, 8, generator=make_generator(2)) + 0.1
    before = cost_of(part, tiny_step(part, images=images, labels=(0,) * 4))
    for _ in range(30):
        step = tiny_step(part, images=images, labels=(0,) * 4)
        (slope,) = torch.autograd.grad(part.penalty(step), [step.images])
        images = images - 0.05 * slope
    assert cost_of(part, tiny_step(part, images=images, labels=(0,) * 4)) < before / 2


# -- the student's loss ----------------------------------------------------------------------------


def logits(seed: int) -> Tensor:
    return torch.randn(6, 3, generator=make_generator(seed), dtype=torch.float64)


def test_without_hard_labels_it_is_torchs_squared_error() -> None:
    batch = replace(tiny_batch(), weights=torch.ones(6))
    found = MseGt(hard_weight=0.0).loss(logits(0), batch, logits(1))
    torch.testing.assert_close(found, F.mse_loss(logits(0), logits(1)))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_hard_label_is_that_of_the_image_itself_however_it_is_mixed(share: float) -> None:
    batch = replace(tiny_batch(share=share), weights=torch.ones(6))
    found = MseGt(hard_weight=0.15).loss(logits(0), batch, logits(0))
    torch.testing.assert_close(found, 0.15 * F.cross_entropy(logits(0), batch.labels))


def test_weights_count_images() -> None:
    batch = replace(tiny_batch(), weights=torch.tensor([6.0, 0, 0, 0, 0, 0]))
    one = F.mse_loss(logits(0)[:1], logits(1)[:1])
    one = one + 0.1 * F.cross_entropy(logits(0)[:1], batch.labels[:1])
    torch.testing.assert_close(MseGt().loss(logits(0), batch, logits(1)), one)


def test_the_gradient_of_the_students_loss_agrees_with_finite_differences() -> None:
    student = logits(0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: MseGt().loss(s, tiny_batch(), logits(1)), [student])


def test_equal_norms_make_all_frobenius_norms_equal() -> None:
    answers = torch.stack([logits(0), 10 * logits(1), 0.1 * logits(2)])
    part = MseGt(equal_norms=True)
    norms = answers.flatten(1).norm(dim=1)
    alike = sum(a / n for a, n in zip(answers, norms, strict=True)) * norms.mean() / 3
    torch.testing.assert_close(part.combined(answers), alike)
    torch.testing.assert_close(MseGt().combined(answers), answers.mean(0))
    torch.testing.assert_close(part.combined(answers[:1]), answers[0])
    assert torch.isfinite(part.combined(torch.zeros(2, 6, 3))).all()


# -- the method ------------------------------------------------------------------------------------


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
