"""statistics: one pass, whatever its batches; and the same numbers for each part alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from ddbench.api.features import Features
from ddbench.api.types import DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.pipeline.stages import statistics as stage
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.training.batches import normalise
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.regularizers._moments import ClassMoments, ReleasedClassMoments


@dataclass(frozen=True)
class World:
    data: RealData
    teacher: Network


@pytest.fixture
def world(info: DatasetInfo) -> World:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(torch.tensor(info.train_counts))
    images = torch.randint(0, 256, (len(labels), *info.shape), generator=rng, dtype=torch.uint8)
    labels = labels[torch.randperm(len(labels), generator=rng)]
    part, ctx = ConvNetD(depth=2, width=4, norm="batch"), Context()
    teacher = freeze_network(Network(build_network(part, info, 0, ctx), "classifier"), ctx)
    return World(RealData(info, images, labels, images[:6], labels[:6]), teacher)


PARTS = (ClassMoments(), Features(), ReleasedClassMoments(batch=3))


@pytest.mark.parametrize("size", [1, 4, 7, 18, 250])
def test_numbers_do_not_depend_on_the_batch(
    world: World, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compute_statistics(PARTS, world.data, world.teacher, Context(), Meter("cpu"))
    monkeypatch.setattr(stage, "BATCH", size)
    found = compute_statistics(PARTS, world.data, world.teacher, Context(), Meter("cpu"))
    for one, other in zip(whole, found, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6)


def test_one_pass_gives_each_part_what_it_gets_alone(world: World) -> None:
    together = compute_statistics(PARTS, world.data, world.teacher, Context(), Meter("cpu"))
    for part, shared in zip(PARTS, together, strict=True):
        (alone,) = compute_statistics([part], world.data, world.teacher, Context(), Meter("cpu"))
        assert all(torch.equal(shared[name], alone[name]) for name in alone)


def test_features_are_the_classifiers_input_in_the_order_of_the_data(world: World) -> None:
    (found,) = compute_statistics([Features()], world.data, world.teacher, Context(), Meter("cpu"))
    module = world.teacher.module
    with torch.no_grad():
        images = normalise(world.data.train_images, world.data.info)
        expected = module.features(images).flatten(1)
    torch.testing.assert_close(found["features"].float(), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(found["labels"], world.data.train_labels)


def test_moments_are_those_of_a_brute_force_in_float64(world: World) -> None:
    """Of the second BatchNorm's input: all images and positions of a class at once."""
    (found,) = compute_statistics(
        [ClassMoments()], world.data, world.teacher, Context(), Meter("cpu")
    )
    layers = list(world.teacher.module.features)
    second = [i for i, layer in enumerate(layers) if isinstance(layer, torch.nn.BatchNorm2d)][1]
    wide = torch.nn.Sequential(*layers[:second]).double()
    with torch.no_grad():
        maps = wide(normalise(world.data.train_images, world.data.info).double())
    wide.float()
    for cls in range(3):
        of_class = maps[world.data.train_labels == cls].transpose(0, 1).flatten(1)
        name = f"features.{second}"
        mean, var = found[f"{name}.mean"][cls].double(), found[f"{name}.var"][cls].double()
        torch.testing.assert_close(mean, of_class.mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(var, of_class.var(1, correction=0), rtol=1e-5, atol=0)
