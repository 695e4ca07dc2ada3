"""Steps of a smooth network in float64, and of raw maps, for the tests of regularizers."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from ddbench.api.moments import ChannelMoments
from ddbench.api.types import Activations, Network, Step, Tap
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench_plugins.regularizers._moments import ClassMoments
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

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
    acts = Activations(maps.flatten(1), {Tap("0", ChannelMoments()): ChannelMoments().reduce(maps)})
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
