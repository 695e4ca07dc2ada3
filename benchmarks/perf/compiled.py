"""A recover iteration with and without `--compile`, and how long compiling takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.perf.recover import PCBN, STRENGTH, Scene, make_floor, make_scene
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import Settings
from ddbench.nn.probe import Probe
from ddbench.pipeline.stages.problem import RecoverProblem, Taught, Term
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.matchers.wasserstein import Wasserstein


def make_loop(world: Scene, compiled: bool) -> Callable[[], object]:
    """Makes iterations of one group, by one probe: the stage would compile anew at every call."""
    settings, info = world.settings, world.data.info
    matcher = Wasserstein(norm="l2")
    taps = (*matcher.taps(world.network), *PCBN.taps(world.network))
    probe = Probe(world.network, taps, settings.ctx, compiled=compiled)
    known = {PCBN.moments: {n: t.to(settings.device) for n, t in world.moments.items()}}
    terms = [Term(1.0, matcher, world.atoms.points.to(settings.device))]
    labels = torch.arange(settings.classes).repeat_interleave(settings.each)
    problem = RecoverProblem(
        info=info,
        labels=labels.to(settings.device),
        weights=world.atoms.weights.to(settings.device),
        device=settings.device,
        seed=0,
        data=world.data,
        taught=[Taught(world.network, probe, terms, known)],
        regularizers=((STRENGTH, PCBN),),
        ctx=settings.ctx,
    )
    distiller = Optimize(iterations=world.iterations, roll=(0, 4), batch_size=settings.batch)
    (group,) = distiller.batches(labels)
    return lambda: distiller.recover(problem, group)


def measure(settings: Settings) -> Part:
    world = make_scene(settings)
    first = replace(world, settings=replace(settings, iterations=1))
    works = {
        "as it is": Work(make_loop(world, compiled=False), world.iterations),
        "compiled": Work(make_loop(world, compiled=True), world.iterations),
        "floor": Work(make_floor(world), world.iterations),
    }
    starts = interleave({"": Work(make_loop(first, compiled=True))}, 1, settings.device, warm=False)
    times = interleave(works, settings.repeats, settings.device)
    plain, compiled, bare = times.values()
    return Part(
        f"Recover through torch.compile: ResNet-18, {settings.resolution} pixels, "
        f"batch {settings.batch}",
        [
            *(Row(name, "s / iteration", timing) for name, timing in times.items()),
            Row("first iteration, compiled", "s", starts[""]),
        ],
        [
            Limit("compiled / as it is", ratio(compiled, plain, settings.device), most=1.0),
            Limit("compiled / floor", ratio(compiled, bare, settings.device), most=1.25, goal=1.0),
        ],
        ("The first compiles, unless torch's cache on disk has it. Off unless `--compile` asks.",),
    )
