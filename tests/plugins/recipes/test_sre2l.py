"""SRe2L as a whole: its settings, its groups, and what is left of it without statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ddbench.testing import tiny_info, tiny_step
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.recipes.sre2l import sre2l
from ddbench_plugins.regularizers.batch_norm import BatchNorm


@pytest.mark.parametrize(
    ("name", "pixels", "lr", "weight", "iterations", "roll", "crop", "flip"),
    [
        ("imagenet1k", 224, 0.25, 0.01, 4000, (0, 32), (0.08, 1.0), True),
        ("tiny_imagenet", 64, 0.1, 1.0, 4000, (-4, 4), (0.08, 1.0), True),
        ("cifar100", 32, 0.25, 0.01, 1000, (0, 4), (1.0, 1.0), False),
    ],
)
def test_settings_are_those_of_the_scripts(
    name: str, pixels: int, lr: float, weight: float, iterations: int, roll: Any, crop: Any,
    flip: bool,
) -> None:  # fmt: skip
    recipe = sre2l(replace(tiny_info(pixels=pixels), name=name), 10)
    part = recipe.distiller
    assert isinstance(part, Optimize)
    assert (part.lr, part.iterations, part.batch_size) == (lr, iterations, 100)
    assert (part.roll, part.crop, part.flip, part.per_image) == (roll, crop, flip, False)
    assert (part.betas, part.eps, part.init, part.clamp) == ((0.5, 0.9), 1e-8, "noise", True)
    (matcher,), (term,) = recipe.matchers, recipe.regularizers
    assert (matcher.weight, matcher.part) == (1.0, CrossEntropy())
    assert (term.weight, term.part) == (weight, BatchNorm(norm="l2", first_layer=10.0))


def test_groups_are_a_hundred_consecutive_classes_once_each() -> None:
    """As in the release, where classes are a multiple of a hundred."""
    info = replace(tiny_info(pixels=64), name="tiny_imagenet")
    part = sre2l(info, 3).distiller
    assert isinstance(part, Optimize)
    labels = torch.arange(200).repeat_interleave(3)
    groups = part.batches(labels)
    rows = [rank + 3 * torch.arange(first, first + 100) for rank in range(3) for first in (0, 100)]
    assert [group.tolist() for group in groups] == [row.tolist() for row in rows]


def test_without_statistics_it_is_cross_entropy() -> None:
    """The sum of its terms at r = 0, and what r adds to it, slopes included."""
    recipe = sre2l(tiny_info(), 2)
    (matcher,), (term,) = recipe.matchers, recipe.regularizers
    step = tiny_step(term.part)
    entropy = F.cross_entropy(step.acts.logits, step.labels)

    def slope(r: float) -> tuple[float, torch.Tensor]:
        loss = matcher.weight * matcher.part.loss(step) + r * term.part.penalty(step)
        return loss.item(), torch.autograd.grad(loss, [step.images], retain_graph=True)[0]

    (own,) = torch.autograd.grad(entropy, [step.images], retain_graph=True)
    value, found = slope(0.0)
    assert value == pytest.approx(entropy.item())
    torch.testing.assert_close(found, own)
    more, other = slope(term.weight)
    assert more == pytest.approx(entropy.item() + 0.01 * term.part.penalty(step).item())
    assert not torch.allclose(other, own)
