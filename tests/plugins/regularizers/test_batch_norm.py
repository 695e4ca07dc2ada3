"""BatchNorm statistics against their formula, by hand and on teachers that have none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from ddbench.api.errors import IncompatibleError
from ddbench.api.types import Network
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm
from tests.doubles.regularizer_steps import (
    NETWORK,
    one_norm,
    raw_maps,
    some_images,
    step_of,
    step_of_maps,
)


@pytest.mark.parametrize("norm", ["squared", "l2"])
@pytest.mark.parametrize("weighted", [True, False])
def test_batch_norm_is_the_formula(norm, weighted):
    part = BatchNorm(norm=norm, weighted=weighted)
    weights = torch.tensor([0.2, 0.5, 0.3, 1.0], dtype=torch.float64)
    step = step_of(some_images(4), torch.tensor([0, 0, 0, 1]), weights)
    shares = weights / weights.sum() if weighted else torch.full_like(weights, 0.25)
    total = 0.0
    for number, (layer, maps) in enumerate(raw_maps(step.images).items()):
        module = NETWORK.module.get_submodule(layer)
        mean = torch.einsum("b,bchw->c", shares, maps) / maps[0, 0].numel()
        centred = (maps - mean.view(1, -1, 1, 1)).square()
        var = torch.einsum("b,bchw->c", shares, centred) / maps[0, 0].numel()
        for gap in (mean - module.running_mean, var - module.running_var):
            size = gap.norm() ** (2 if norm == "squared" else 1)
            total = total + (10.0 if number == 0 else 1.0) * size
    torch.testing.assert_close(part.penalty(step), total)


def standardised(channels):
    """Maps whose channels have mean 0 and biased variance 1 over images and positions."""
    maps = torch.randn(8, channels, 5, 5, dtype=torch.float64)
    wide = maps.permute(1, 0, 2, 3).flatten(1)
    mean, var = wide.mean(1), torch.var(wide, 1, unbiased=False)
    return (maps - mean.view(1, -1, 1, 1)) / var.sqrt().view(1, -1, 1, 1)


def test_batch_norm_oracles_of_sre2l():
    """methods.md 2.9: 0 at the running statistics; a shift c; a scale s about mean 0."""
    channels, network, part = 4, one_norm(4), BatchNorm(first_layer=1.0)
    maps = standardised(channels)

    def value(images, part=part):
        return float(part.penalty(step_of_maps(images, network)))

    assert value(maps) == pytest.approx(0, abs=1e-12)
    assert value(maps - 1.7) == pytest.approx(1.7 * channels**0.5)
    assert value(maps * 0.6) == pytest.approx((1 - 0.6**2) * channels**0.5)
    assert value(maps * 2) == pytest.approx(3 * channels**0.5)
    assert value(maps * 2, BatchNorm()) == pytest.approx(30 * channels**0.5)
    assert value(maps * 2, BatchNorm(norm="squared", first_layer=1.0)) == pytest.approx(36)


def test_batch_norm_ignores_classes():
    step = step_of(some_images(6), torch.tensor([0, 1, 2, 0, 1, 2]), torch.rand(6))
    assert torch.equal(
        BatchNorm().penalty(step), BatchNorm().penalty(replace(step, labels=torch.zeros(6).long()))
    )


@pytest.mark.parametrize("part", [BatchNorm(), ClassBatchNorm()])
def test_teacher_without_batch_norm_is_refused(part):
    with pytest.raises(IncompatibleError, match="needs a teacher with BatchNorm2d"):
        part.taps(Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "1"))


def test_batch_norm_without_running_statistics_is_refused():
    module = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(IncompatibleError, match="running statistics"):
        BatchNorm().taps(Network(module, "0"))
