"""BatchNorm by class (PCBN) against its formula, written out over raw feature maps in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.api.moments import ChannelMoments
from ddbench.api.types import DatasetInfo, Network
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench_plugins.regularizers._moments import ClassMoments, ReleasedClassMoments
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm
from tests.doubles.regularizer_steps import (
    LAYERS,
    PCBN,
    one_norm,
    random_known,
    raw_maps,
    some_images,
    step_of,
    step_of_maps,
    tiny_network,
)


def pcbn_by_hand(part, step):
    """Eq. 13-14 with loops over classes, layers and channels."""
    known, maps, total = step.known[part.moments], raw_maps(step.images), 0.0
    present = sorted(set(step.labels.tolist()))
    for cls in present:
        rows = [j for j, label in enumerate(step.labels.tolist()) if label == cls]
        weights = [float(step.weights[j]) if part.weighted else 1.0 for j in rows]
        for number, (layer, channels) in enumerate(LAYERS.items()):
            mean_gaps, var_gaps = [], []
            for channel in range(channels):
                planes = [maps[layer][j, channel] for j in rows]
                mean = sum(w * p.mean() for w, p in zip(weights, planes, strict=True))
                mean = mean / sum(weights)
                scatter = sum(
                    w * (p - mean).square().mean() for w, p in zip(weights, planes, strict=True)
                )
                mean_gaps.append(mean - known[f"{layer}.mean"][cls, channel])
                var_gaps.append(scatter / sum(weights) - known[f"{layer}.var"][cls, channel])
            for gaps in (mean_gaps, var_gaps):
                square = sum(gap**2 for gap in gaps)
                size = square if part.norm == "squared" else square.sqrt()
                total = total + (part.first_layer if number == 0 else 1.0) * size
    return total / len(present) if part.class_reduction == "mean" else total


@pytest.mark.parametrize("part", PCBN, ids=repr)
@pytest.mark.parametrize("classes", [4, 50], ids=["row per class", "row per image"])
def test_pcbn_is_the_formula(part, classes):
    labels = torch.tensor([3, 0, 3, 1, 0, 3, 1])  # class 2 is in the data set, not in the batch
    weights = torch.tensor([0.2, 0.5, 0.5, 1.0, 0.1, 0.05, 0.0])
    step = step_of(some_images(7), labels, weights, random_known(classes, part.moments))
    found, expected = part.penalty(step), pcbn_by_hand(part, step)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)  # weights are float32


@pytest.mark.parametrize("norm", ["squared", "l2"])
@pytest.mark.parametrize("weighted", [True, False])
def test_pcbn_vanishes_where_the_images_are_the_class(norm, weighted):
    images, labels = some_images(12).float(), torch.tensor([1, 0, 2, 1, 1, 0, 2, 2, 0, 1, 2, 0])
    network = Network(tiny_network().module.float(), "8")
    counts = tuple(labels.bincount().tolist())
    info = DatasetInfo("toy", ("a", "b", "c"), (1, 5, 5), (0.0,), (1.0,), counts, counts, "")
    part = ClassBatchNorm(norm=norm, weighted=weighted)
    statistic = part.moments
    with Probe(network, statistic.taps(network), Context()) as probe:
        state = statistic.update(statistic.start(network, info), probe(images), labels)
    known = {statistic: statistic.finish(state)}
    order = torch.randperm(12)
    equal = (1 / labels.bincount()[labels])[order]
    step = step_of(images[order], labels[order], equal, known, network)
    assert part.penalty(step) < 1e-5
    assert part.penalty(replace(step, labels=step.labels.roll(1))) > 1e-2
    if weighted:
        uneven = equal * torch.linspace(0.2, 2, 12)
        assert part.penalty(replace(step, weights=uneven)) > 1e-3


@pytest.mark.parametrize("norm", ["squared", "l2"])
def test_pcbn_of_one_class_is_batch_norm_with_class_statistics(norm):
    known = random_known(1, ClassMoments())
    step = step_of(some_images(5), torch.zeros(5, dtype=torch.long), torch.rand(5), known)
    substitute = tiny_network()
    for layer in LAYERS:
        module = substitute.module.get_submodule(layer)
        module.running_mean.copy_(known[ClassMoments()][f"{layer}.mean"][0])
        module.running_var.copy_(known[ClassMoments()][f"{layer}.var"][0])
    for weighted in (True, False):
        pcbn = ClassBatchNorm(norm=norm, weighted=weighted, first_layer=3.0).penalty(step)
        whole = BatchNorm(norm=norm, weighted=weighted, first_layer=3.0)
        torch.testing.assert_close(pcbn, whole.penalty(replace(step, network=substitute)))


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(range(8)),
    renamed=st.permutations(range(4)),
    norm=st.sampled_from(["squared", "l2"]),
    reduction=st.sampled_from(["sum", "mean"]),
    classes=st.sampled_from([4, 9]),
)
def test_pcbn_knows_no_order(order, renamed, norm, reduction, classes):
    part = ClassBatchNorm(norm=norm, class_reduction=reduction)
    labels, images = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3]), some_images(8)
    weights = torch.linspace(0.1, 1, 8)
    known = random_known(classes, part.moments)
    expected = part.penalty(step_of(images, labels, weights, known))
    rows, names = torch.tensor(order), torch.tensor([*renamed, *range(4, classes)])
    moved = {name: tensor[names.argsort()] for name, tensor in known[part.moments].items()}
    step = step_of(images[rows], names[labels[rows]], weights[rows], {part.moments: moved})
    torch.testing.assert_close(part.penalty(step), expected, rtol=1e-6, atol=0)


def test_pcbn_renormalises_weights_within_a_class():
    part = ClassBatchNorm()
    labels, known = torch.tensor([0, 1, 0, 1]), random_known(2, part.moments)
    step = step_of(some_images(4), labels, torch.tensor([0.1, 0.5, 0.3, 0.5]), known)
    scaled = replace(step, weights=torch.tensor([0.25, 0.2, 0.75, 0.2]))
    torch.testing.assert_close(part.penalty(step), part.penalty(scaled), rtol=1e-6, atol=0)
    uneven = replace(step, weights=torch.tensor([0.3, 0.5, 0.1, 0.5]))
    assert abs(part.penalty(step) - part.penalty(uneven)) > 1e-3


def test_absent_class_without_moments_does_no_harm():
    part = ClassBatchNorm(norm="l2")
    known = random_known(3, part.moments)
    for tensor in known[part.moments].values():
        if tensor.is_floating_point():
            tensor[1] = torch.nan
    images = some_images(4).requires_grad_(True)
    value = part.penalty(step_of(images, torch.tensor([0, 2, 2, 0]), torch.ones(4), known))
    assert value.isfinite()
    assert torch.autograd.grad(value, images)[0].isfinite().all()


def test_pcbn_of_constant_shifts():
    """Means over classes of shifts c_k on C channels: sqrt(C) mean |c_k|."""
    shifts, channels = torch.tensor([1.0, -2.0, 0.5]), 4
    maps = torch.randn(3, channels, 5, 5)
    moments = ChannelMoments().reduce(maps)
    var = moments["square"] - moments["mean"].square()
    known = {ClassMoments(): {"0.mean": moments["mean"], "0.var": var}}
    part = ClassBatchNorm(norm="l2", class_reduction="mean")
    step = step_of_maps(
        maps + shifts.view(3, 1, 1, 1), one_norm(channels), torch.arange(3), known=known
    )
    expected = channels**0.5 * shifts.abs().mean()
    torch.testing.assert_close(part.penalty(step), expected, rtol=1e-4, atol=0)


def test_released_variance_asks_for_another_statistic():
    assert ClassBatchNorm().statistics == (ClassMoments(),)
    assert ClassBatchNorm(released_variance=True).statistics == (ReleasedClassMoments(100),)


def test_single_pixel_of_a_single_image_has_no_variance():
    maps = torch.randn(1, 2, 1, 1, requires_grad=True)
    known = {ClassMoments(): {"0.mean": torch.zeros(1, 2), "0.var": torch.zeros(1, 2)}}
    value = ClassBatchNorm().penalty(step_of_maps(maps, one_norm(2), known=known))
    torch.testing.assert_close(value, maps.square().sum(), rtol=1e-5, atol=1e-6)
    assert torch.autograd.grad(value, maps)[0].isfinite().all()
