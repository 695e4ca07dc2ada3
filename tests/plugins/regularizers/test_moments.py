"""Class-wise moments against float64 moments of the raw feature maps."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.moments import ChannelMoments
from ddbench.api.types import Activations, DatasetInfo, Network, Tap
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench.store.keys import spell
from ddbench_plugins.regularizers._moments import (
    ClassMoments,
    ReleasedClassMoments,
    mix_moments,
    share_by_class,
    sum_layer_gaps,
)
from tests.doubles.regularizer_steps import some_images


def info(counts):
    classes = tuple(f"class {cls}" for cls in range(len(counts)))
    return DatasetInfo("toy", classes, (1, 6, 6), (0.0,), (1.0,), tuple(counts), tuple(counts), "")


def tiny_network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    for layer in (module[1], module[4]):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return Network(module.eval().requires_grad_(False), "8")


NETWORK = tiny_network()
LAYERS = ("1", "4")


def raw_maps(images):
    """The inputs of the BatchNorms themselves."""
    first = NETWORK.module[0](images)
    return {"1": first, "4": NETWORK.module[2:4](NETWORK.module[1](first))}


def collect(statistic, images, labels, batch, counts=None):
    counts = labels.bincount().tolist() if counts is None else counts
    state = statistic.start(NETWORK, info(counts))
    with Probe(NETWORK, statistic.taps(NETWORK), Context()) as probe:
        for some, theirs in zip(images.split(batch), labels.split(batch), strict=True):
            state = statistic.update(state, probe(some), theirs)
    return statistic.finish(state)


def brute_force(images, labels, classes):
    """Mean and biased variance over images and positions, from the maps in float64."""
    maps = {layer: found.double() for layer, found in raw_maps(images).items()}
    return {
        f"{layer}.{name}": torch.stack(
            [
                getattr(found[labels == cls].transpose(0, 1).flatten(1), name)(1, **options)
                for cls in range(classes)
            ]
        )
        for layer, found in maps.items()
        for name, options in (("mean", {}), ("var", {"correction": 0}))
    }


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    batch=st.integers(1, 30),
    offset=st.floats(-4, 4),
    seed=st.integers(0, 999),
)
def test_equals_brute_force_for_any_batch_and_order(counts, batch, offset, seed):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    images = torch.randn(len(labels), 1, 6, 6, generator=rng) + offset + labels.view(-1, 1, 1, 1)
    found = collect(ClassMoments(), images, labels, batch)
    assert found["count"].tolist() == counts
    for name, expected in brute_force(images, labels, len(counts)).items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(ratio=st.floats(0, 8), batch=st.integers(1, 40), seed=st.integers(0, 999))
def test_variance_holds_where_means_are_several_deviations(ratio, batch, seed):
    rng = torch.Generator().manual_seed(seed)
    maps = torch.randn(40, 5, 4, 4, generator=rng) * 3 + 3 * ratio
    labels = torch.randint(0, 2, (40,), generator=rng)
    statistic, layer = ClassMoments(), nn.Sequential(nn.BatchNorm2d(5))
    state = statistic.start(Network(layer, "0"), info([20, 20]))
    for some, theirs in zip(maps.split(batch), labels.split(batch), strict=True):
        acts = Activations(
            some.flatten(1), {Tap("0", ChannelMoments()): ChannelMoments().reduce(some)}
        )
        state = statistic.update(state, acts, theirs)
    found = statistic.finish(state)
    for cls in range(2):
        of_class = maps.double()[labels == cls].transpose(0, 1).flatten(1)
        expected = of_class.var(1, correction=0)
        torch.testing.assert_close(found["0.var"][cls].double(), expected, rtol=1e-5, atol=0)


def test_update_counts_and_starts_from_nothing():
    statistic = ClassMoments()
    state = statistic.start(NETWORK, info([2, 2]))
    assert not state["mean"].any()
    assert not state["count"].any()
    with Probe(NETWORK, statistic.taps(NETWORK), Context()) as probe:
        after = statistic.update(state, probe(torch.randn(4, 1, 6, 6)), torch.tensor([0, 1, 1, 0]))
    assert after.keys() == state.keys()
    assert after["count"].tolist() == [2, 2]
    assert after["square"].dtype == torch.float64
    assert not statistic.start(NETWORK, info([2, 2]))["mean"].any()


def test_class_without_images_has_no_moments():
    images, labels = torch.randn(3, 1, 6, 6), torch.tensor([0, 2, 2])
    found = collect(ClassMoments(), images, labels, 3, counts=[1, 0, 2])
    assert found["count"].tolist() == [1, 0, 2]
    assert found["1.mean"][1].isnan().all()
    assert found["4.var"][1].isnan().all()
    assert found["1.var"][[0, 2]].isfinite().all()


def test_half_precision_activations_are_widened():
    maps = (torch.randn(6, 5, 4, 4) + 2).bfloat16()
    statistic = ClassMoments()
    state = statistic.start(Network(nn.Sequential(nn.BatchNorm2d(5)), "0"), info([6]))
    acts = Activations(maps.flatten(1), {Tap("0", ChannelMoments()): ChannelMoments().reduce(maps)})
    found = statistic.finish(statistic.update(state, acts, torch.zeros(6, dtype=torch.long)))
    expected = maps.double().transpose(0, 1).flatten(1).var(1, correction=0)
    torch.testing.assert_close(found["0.var"][0].double(), expected, rtol=1e-5, atol=0)


def by_hand_released(images, labels, classes, batch):
    """Within-batch variances of consecutive images of a class, weighted by the batches' sizes."""
    found = {layer: [] for layer in LAYERS}
    for layer, maps in raw_maps(images).items():
        for cls in range(classes):
            groups = maps.double()[labels == cls].split(batch)
            variances = [
                len(group) * group.transpose(0, 1).flatten(1).var(1, correction=0)
                for group in groups
            ]
            found[layer].append(sum(variances) / sum(map(len, groups)))
    return {layer: torch.stack(rows) for layer, rows in found.items()}


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
@pytest.mark.parametrize("arriving", [2, 7, 23])
def test_released_variance_is_the_mean_within_batches(batch, arriving):
    rng = torch.Generator().manual_seed(7)
    labels = torch.randint(0, 3, (23,), generator=rng)
    images = torch.randn(23, 1, 6, 6, generator=rng) + torch.linspace(-2, 2, 23).view(-1, 1, 1, 1)
    found = collect(ReleasedClassMoments(batch), images, labels, arriving)
    exact = collect(ClassMoments(), images, labels, arriving)
    by_hand = by_hand_released(images, labels, 3, batch)
    for layer in LAYERS:
        torch.testing.assert_close(found[f"{layer}.mean"], exact[f"{layer}.mean"])
        torch.testing.assert_close(
            found[f"{layer}.var"].double(), by_hand[layer], rtol=1e-5, atol=1e-6
        )
    if batch == 100:
        assert torch.equal(found["1.var"], exact["1.var"])
    else:
        assert (found["1.var"] < exact["1.var"]).all()
    assert torch.equal(found["count"], exact["count"])


def test_released_variance_lacks_that_of_the_batch_means():
    """True variance = within + between (methods.md 2.15.11), for batches of 4 and 2 images."""
    images, labels = torch.randn(6, 1, 6, 6), torch.zeros(6, dtype=torch.long)
    images[4:] += 1.5
    found = collect(ReleasedClassMoments(4), images, labels, 5)["1.var"][0]
    exact = collect(ClassMoments(), images, labels, 5)
    maps = raw_maps(images)["1"].double()
    means = torch.stack([maps[:4].mean((0, 2, 3)), maps[4:].mean((0, 2, 3))])
    sizes = torch.tensor([4 / 6, 2 / 6], dtype=torch.float64)
    between = sizes @ (means - sizes @ means).square()
    assert (between > 1e-3).all()
    torch.testing.assert_close((found + between).float(), exact["1.var"][0], rtol=1e-5, atol=1e-6)


def test_released_moments_refuse_more_images_than_announced():
    images, labels = torch.randn(4, 1, 6, 6), torch.tensor([0, 0, 0, 1])
    with pytest.raises(DDBenchError, match="class 0 has more images"):
        collect(ReleasedClassMoments(1), images, labels, 2, counts=[2, 2])


@pytest.mark.parametrize("statistic", [ClassMoments(), ReleasedClassMoments()])
def test_network_without_batch_norm_is_refused(statistic):
    with pytest.raises(IncompatibleError, match="needs a teacher with BatchNorm2d"):
        statistic.taps(Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), "1"))


def test_options_are_part_of_the_key():
    assert spell(ReleasedClassMoments()) != spell(replace(ReleasedClassMoments(), batch=50))
    assert spell(ReleasedClassMoments()) != spell(ClassMoments())
    assert hash(ReleasedClassMoments()) == hash(ReleasedClassMoments(100))


def test_class_whose_weights_are_all_zero_counts_its_images_equally():
    labels, weights = torch.tensor([0, 0, 1]), torch.tensor([0.0, 0.0, 1.0])
    _, shares, counted = share_by_class(labels, weights, 2)
    assert shares.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert counted.tolist() == [1.0, 1.0]


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
