"""A recover iteration, Wasserstein and PCBN: the harness, the plain loop, the bare network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.perf.plain.recover import PlainRecover
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleaved, ratio
from benchmarks.perf.world import Settings, bare_copy, contiguous_copy, describe, noise, teacher
from ddbench.api.types import Network, Tensors
from ddbench.data.real import RealData
from ddbench.pipeline.results import ClassAtoms
from ddbench.pipeline.specs import Recover, data_key
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.cost import Meter
from ddbench.training.batches import normalise
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.matchers.wasserstein import Wasserstein
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

STRENGTH = 10.0
PCBN = ClassBatchNorm(norm="l2", class_reduction="mean")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the variants have in common."""

    settings: Settings
    data: RealData
    network: Network
    moments: Tensors
    atoms: ClassAtoms

    @property
    def iterations(self) -> int:
        """Of one measured call: enough that its beginning and end do not show."""
        if self.settings.iterations:
            return self.settings.iterations
        return self.settings.size(50 if self.settings.device != "cpu" else 5, 2)


def scene(settings: Settings) -> Scene:
    images = max(settings.size(200, 20), settings.classes)
    data = noise(describe(settings, settings.classes, images))
    network = teacher(data, settings)
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


class _NoGroups:
    """Nothing finished before, nothing kept."""

    folder = Path()

    def get(self, number: int) -> Tensor | None:
        return None

    def put(self, number: int, tensor: Tensor) -> None: ...


def harness(world: Scene) -> Callable[[], object]:
    """The recover stage as a cell runs it."""
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
    held: Any = _NoGroups()
    return lambda: recover(spec, world.data, [taught], held, settings.ctx, Meter(settings.device))


def plain(world: Scene) -> Callable[[], object]:
    loop, iterations = plain_loop(world), world.iterations  # and not the teacher it is a copy of
    return lambda: loop.run(iterations, 0.25, 4)


def plain_loop(world: Scene) -> PlainRecover:
    points = world.atoms.points.to(world.settings.device)
    labels = torch.arange(world.settings.classes).repeat_interleave(world.settings.each)
    module = contiguous_copy(world.network, world.settings)
    return PlainRecover(module, world.moments, points, labels, world.data.info, STRENGTH)


def floor(world: Scene) -> Callable[[], object]:
    """Nothing but the frozen network, forward and back to the input, batch after batch."""
    ctx, count = world.settings.ctx, len(world.atoms.points)
    module = bare_copy(world.network, world.data, world.settings)
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


def checkpointed(world: Scene) -> Callable[[], object]:
    """The harness with `--checkpoint`."""
    return harness(replace(world, settings=replace(world.settings, checkpoint=True)))


VARIANTS = {
    "harness": harness,
    "plain loop": plain,
    "floor": floor,
    "harness, --checkpoint": checkpointed,
}


def measure(settings: Settings) -> Part:
    world = scene(settings)
    works = {name: Work(make(world), world.iterations) for name, make in VARIANTS.items()}
    times = interleaved(works, settings.repeats, settings.device)
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
