"""A recover iteration, Wasserstein and PCBN: the harness, the plain loop, the bare network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.perf.plain.recover import PlainRecover
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import (
    Settings,
    copy_bare,
    copy_contiguous,
    describe_noise,
    make_noise,
    make_teacher,
)
from ddbench.api.types import Network, Tensors
from ddbench.data.real import RealData
from ddbench.pipeline.results import ClassAtoms
from ddbench.pipeline.specs import Recover, data_key
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.cost import Meter
from ddbench.store.cache import PartialGroups
from ddbench.training.batches import normalise
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.matchers.wasserstein import Wasserstein
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

STRENGTH = 10.0
PCBN = ClassBatchNorm(norm="l2", class_reduction="mean")


@dataclass(frozen=True, slots=True)
class Scene:
    """Data, network and statistics that all variants have in common."""

    settings: Settings
    data: RealData
    network: Network
    moments: Tensors
    atoms: ClassAtoms

    @property
    def iterations(self) -> int:
        """Iterations of one measured call: enough that its beginning and end do not show."""
        if self.settings.iterations:
            return self.settings.iterations
        return self.settings.size(50 if self.settings.device != "cpu" else 5, 2)


def make_scene(settings: Settings) -> Scene:
    images = max(settings.size(200, 20), settings.classes)
    data = make_noise(describe_noise(settings, settings.classes, images))
    network = make_teacher(data, settings)
    (moments,) = compute_statistics(
        [PCBN.moments], data, network, settings.ctx, Meter(settings.device)
    )
    rng = torch.Generator().manual_seed(1)
    count = settings.each * settings.classes
    classifier = network.module.get_submodule(network.classifier)
    assert isinstance(classifier, torch.nn.Linear)
    points = torch.rand(count, classifier.in_features, generator=rng)
    weights = torch.full((count,), 1 / settings.each)
    return Scene(settings, data, network, moments, ClassAtoms(points, weights))


class _NoGroups(PartialGroups):
    """Groups of which none is finished and none kept: nothing is measured but the work."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), Path("nowhere"))

    def get(self, index: int, names: Collection[str] = ()) -> None: ...

    def put(self, index: int, group: Mapping[str, Any]) -> None: ...

    def divide(self, name: str) -> PartialGroups:
        return self

    def clear(self) -> None: ...


def make_harness(world: Scene) -> Callable[[], object]:
    """Makes the recover stage as a cell runs it."""
    settings = world.settings
    spec = Recover(
        data=data_key(world.data.info),
        distiller=Optimize(iterations=world.iterations, roll=(0, 4), batch_size=settings.batch),
        counts=(settings.each,) * settings.classes,
        matchers=((1.0, Wasserstein(norm="l2")),),
        regularizers=((STRENGTH, PCBN),),
        seed=0,
        precision=settings.precision,
    )
    taught = Teacher(world.network, {PCBN.moments: world.moments}, [world.atoms])
    groups, ctx = _NoGroups(), settings.ctx
    return lambda: recover(spec, world.data, [taught], groups, ctx, Meter(ctx.device))


def make_plain(world: Scene) -> Callable[[], object]:
    # These alone are held, and not the teacher that the loop has a copy of.
    loop, iterations = make_plain_loop(world), world.iterations
    return lambda: loop.run(iterations, 0.25, 4)


def make_plain_loop(world: Scene) -> PlainRecover:
    points = world.atoms.points.to(world.settings.device)
    labels = torch.arange(world.settings.classes).repeat_interleave(world.settings.each)
    module = copy_contiguous(world.network, world.settings)
    return PlainRecover(module, world.moments, points, labels, world.data.info, STRENGTH)


def make_floor(world: Scene) -> Callable[[], object]:
    """Makes the floor: the frozen network, forward and back to the input, batch after batch."""
    ctx, count = world.settings.ctx, len(world.atoms.points)
    module = copy_bare(world.network, world.data, world.settings)
    shown = world.data.train_images.repeat(-(-count // len(world.data.train_images)), 1, 1, 1)
    batches = [
        normalise(some.to(ctx.device), world.data.info).requires_grad_(True)
        for some in shown[:count].split(world.settings.batch)
    ]

    iterations = world.iterations  # alone: what is not used is not held

    def run() -> None:
        for _ in range(iterations):
            for images in batches:
                with ctx.autocast():
                    logits = module(images)
                torch.autograd.grad(logits.float().square().sum(), [images])

    return run


def make_checkpointed(world: Scene) -> Callable[[], object]:
    """Makes the harness with `--checkpoint`."""
    return make_harness(replace(world, settings=replace(world.settings, checkpoint=True)))


VARIANTS = {
    "harness": make_harness,
    "plain loop": make_plain,
    "floor": make_floor,
    "harness, --checkpoint": make_checkpointed,
}


def measure(settings: Settings) -> Part:
    world = make_scene(settings)
    works = {name: Work(make(world), world.iterations) for name, make in VARIANTS.items()}
    times = interleave(works, settings.repeats, settings.device)
    device, (ours, field, bare, again) = settings.device, times.values()
    return Part(
        f"Recover: Wasserstein + PCBN, ResNet-18, {settings.resolution} pixels, "
        f"batch {settings.batch}",
        [Row(name, "s / iteration", times[name]) for name in VARIANTS],
        [
            Limit("harness / floor", ratio(ours, bare, device), most=1.25, goal=1.0),
            Limit("plain loop / harness", ratio(field, ours, device), least=2.0, goal=2.5),
        ],
        (f"--checkpoint takes {ratio(again, ours, device):.2f} times as long as the harness.",),
    )
