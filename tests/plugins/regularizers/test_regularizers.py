"""Regularizers against their formulas, written out over raw feature maps in float64."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ddbench.api.errors import IncompatibleError
from ddbench.api.moments import ChannelMoments
from ddbench.api.types import Activations, DatasetInfo, Network, Step, Tap
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench_plugins.regularizers import batch_norm, class_batch_norm, l2, none, total_variation
from ddbench_plugins.regularizers._moments import (
    ClassMoments,
    ReleasedClassMoments,
    mix_moments,
    share_by_class,
    sum_layer_gaps,
)
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm
from ddbench_plugins.regularizers.l2 import L2
from ddbench_plugins.regularizers.none import NoRegularizer
from ddbench_plugins.regularizers.total_variation import TotalVariation

LAYERS = {"1": 3, "4": 4}


def tiny_network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.Softplus(),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()
    for layer in (module[1], module[4]):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return Network(module.eval().requires_grad_(False), "8")


NETWORK = tiny_network()


def raw_maps(images):
    first = NETWORK.module[0](images)
    return {"1": first, "4": NETWORK.module[2:4](NETWORK.module[1](first))}


def random_known(classes, statistic, seed=1):
    rng = torch.Generator().manual_seed(seed)
    known = {"count": torch.full((classes,), 5)}
    for layer, channels in LAYERS.items():
        known[f"{layer}.mean"] = torch.randn(classes, channels, generator=rng)
        known[f"{layer}.var"] = torch.rand(classes, channels, generator=rng)
    return {statistic: known}


def step_of(images, labels, weights, known=None, network=NETWORK, taps=None):
    taps = ClassMoments().taps(network) if taps is None else taps
    with Probe(network, taps, Context()) as probe:
        acts = probe(images)
    return Step(images, labels, weights, None, acts, network, known or {}, 0.0)


def step_of_maps(maps, network, labels=None, weights=None, known=None):
    """A step whose only BatchNorm input is `maps`."""
    acts = Activations(maps, {Tap("0", ChannelMoments()): ChannelMoments().reduce(maps)})
    labels = torch.zeros(len(maps), dtype=torch.long) if labels is None else labels
    weights = torch.ones(len(maps)) if weights is None else weights
    return Step(maps, labels, weights, None, acts, network, known or {}, 0.0)


def one_norm(channels, mean=0.0, var=1.0):
    module = nn.Sequential(nn.BatchNorm2d(channels))
    module[0].running_mean.fill_(mean)
    module[0].running_var.fill_(var)
    return Network(module.eval(), "0")


def some_images(count, seed=3):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 5, 5, generator=rng, dtype=torch.float64)


# -- PCBN ------------------------------------------------------------------------------------------


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


PCBN = [
    ClassBatchNorm(
        norm=norm,
        weighted=weighted,
        class_reduction=reduction,
        first_layer=first,
        released_variance=released,
    )
    for norm, weighted, reduction, (first, released) in itertools.product(
        ("squared", "l2"), (True, False), ("sum", "mean"), ((1.0, False), (2.5, True))
    )
]


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


def test_class_whose_weights_are_all_zero_counts_its_images_equally():
    labels, weights = torch.tensor([0, 0, 1]), torch.tensor([0.0, 0.0, 1.0])
    _, shares, counted = share_by_class(labels, weights, 2)
    assert shares.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert counted.tolist() == [1.0, 1.0]


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


def test_law_of_total_variance():
    """Variance of a mixture of two weighted groups = within + between."""
    maps = some_images(36).reshape(6, 6, 5, 5)
    moments = ChannelMoments().reduce(maps)
    shares = torch.tensor([0.1, 0.2, 0.1, 0.3, 0.25, 0.05], dtype=torch.float64)
    parts = torch.stack([shares[:3].sum(), shares[3:].sum()])
    halves = torch.zeros(2, 6, dtype=torch.float64)
    halves[0, :3], halves[1, 3:] = shares[:3] / parts[0], shares[3:] / parts[1]
    means, variances = mix_moments(halves, **moments)
    mean, variance = mix_moments(shares[None], **moments)
    between = parts @ (means - parts @ means).square()
    torch.testing.assert_close(variance[0], parts @ variances + between)
    expected = (shares.view(-1, 1, 1, 1) * (maps - mean.view(1, -1, 1, 1)).square()).mean((2, 3))
    torch.testing.assert_close(variance[0], expected.sum(0))


def test_squared_and_unsquared_norms():
    """methods.md 2.15.11: 5 and 25 for [[3, 4], [0, 0]]."""
    residual = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert sum_layer_gaps(residual, [2], "l2", 1.0).tolist() == [5, 0]
    assert sum_layer_gaps(residual, [2], "squared", 1.0).tolist() == [25, 0]
    assert sum_layer_gaps(residual, [1, 1], "l2", 10.0).tolist() == [34, 0]
    assert sum_layer_gaps(residual, [1, 1], "squared", 10.0).tolist() == [106, 0]


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


# -- BatchNorm -------------------------------------------------------------------------------------


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


# -- of pixels -------------------------------------------------------------------------------------


def test_total_variation_by_hand():
    images = torch.tensor([[[[0.0, 3.0], [4.0, 4.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    step = step_of_maps(images, one_norm(1))
    across, down = (3**2 + 0**2) ** 0.5, (4**2 + 1**2) ** 0.5
    assert float(TotalVariation(diagonals=False).penalty(step)) == pytest.approx(
        (across + down) / 2
    )
    assert float(TotalVariation().penalty(step)) == pytest.approx((across + down + 4 + 1) / 2)


def test_total_variation_does_not_depend_on_the_batch():
    images = some_images(3)
    one = step_of_maps(images, one_norm(1))
    two = step_of_maps(torch.cat([images, images]), one_norm(1))
    torch.testing.assert_close(TotalVariation().penalty(one), TotalVariation().penalty(two))


def test_l2_and_none_by_hand():
    images = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    step = step_of_maps(images, one_norm(1))
    assert float(L2().penalty(step)) == pytest.approx((5 + 2) / 2)
    assert float(NoRegularizer().penalty(step)) == 0


# -- all of them -----------------------------------------------------------------------------------

EVERY = [
    *PCBN[::2],
    PCBN[-1],
    BatchNorm(),
    BatchNorm(norm="squared", weighted=True),
    BatchNorm(norm="l2", weighted=True, first_layer=2.0),
    TotalVariation(),
    TotalVariation(diagonals=False),
    L2(),
    NoRegularizer(),
]


@pytest.mark.parametrize("part", EVERY, ids=repr)
def test_gradient_is_that_of_finite_differences(part):
    labels = torch.tensor([1, 0, 1])
    weights = torch.tensor([0.3, 1.0, 0.7], dtype=torch.float64)
    statistics = part.statistics or (ClassMoments(),)
    known = random_known(2, statistics[0])
    images = some_images(3).requires_grad_(True)

    def value(images):
        return part.penalty(step_of(images, labels, weights, known, taps=part.taps(NETWORK)))

    assert value(images).dtype == torch.float64
    assert value(images).shape == ()
    if not isinstance(part, NoRegularizer):
        assert torch.autograd.grad(value(images), images)[0].abs().max() > 1e-3
    torch.autograd.gradcheck(value, images, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "part", [BatchNorm(), ClassBatchNorm(norm="l2"), ClassBatchNorm(), TotalVariation(), L2()]
)
def test_gradient_is_finite_at_zero(part):
    """Where every norm is that of zeros."""
    images = torch.zeros(4, 2, 3, 3, requires_grad=True)
    known = {ClassMoments(): {"0.mean": torch.zeros(1, 2), "0.var": torch.zeros(1, 2)}}
    value = part.penalty(step_of_maps(images, one_norm(2, var=0.0), known=known))
    assert value.item() == 0
    assert torch.autograd.grad(value, images)[0].isfinite().all()


def test_single_pixel_of_a_single_image_has_no_variance():
    maps = torch.randn(1, 2, 1, 1, requires_grad=True)
    known = {ClassMoments(): {"0.mean": torch.zeros(1, 2), "0.var": torch.zeros(1, 2)}}
    value = ClassBatchNorm().penalty(step_of_maps(maps, one_norm(2), known=known))
    torch.testing.assert_close(value, maps.square().sum(), rtol=1e-5, atol=1e-6)
    assert torch.autograd.grad(value, maps)[0].isfinite().all()


def test_hooks_name_the_parts():
    modules = (batch_norm, class_batch_norm, total_variation, l2, none)
    parts = {}
    for module in modules:
        parts.update(module.ddbench_regularizers())
    assert parts == {
        "batch_norm": BatchNorm(),
        "class_batch_norm": ClassBatchNorm(),
        "total_variation": TotalVariation(),
        "l2": L2(),
        "none": NoRegularizer(),
    }
    assert batch_norm.ddbench_aliases() == {"regularizer:bn": "batch_norm"}
    assert class_batch_norm.ddbench_aliases() == {"regularizer:pcbn": "class_batch_norm"}
