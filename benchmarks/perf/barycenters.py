"""Barycenters of every class: the targets stage beside POT's own routine from the same starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np
import ot
import torch

from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleave
from benchmarks.perf.world import Settings
from ddbench.pipeline.results import ClassAtoms, LabelledFeatures
from ddbench.pipeline.specs import Targets
from ddbench.pipeline.stages.targets import find_atoms
from ddbench.runtime.cost import Meter
from ddbench.runtime.seeds import make_generator
from ddbench_plugins.distances.transport import wasserstein_squared
from ddbench_plugins.matchers._atoms import draw_start
from ddbench_plugins.matchers.wasserstein import BarycenterTarget

PROMISED = {10: 60.0, 50: 300.0}
"""Seconds for 1,000 classes, by images per class."""


def make_features(classes: int, each: int, width: int) -> LabelledFeatures:
    """Makes rectified clusters, like features after a ReLU."""
    rng = torch.Generator().manual_seed(0)
    centres = torch.rand(classes, 20, width, generator=rng)
    chosen = torch.randint(20, (classes, each), generator=rng)
    found = centres[torch.arange(classes)[:, None], chosen]
    found = (found + 0.5 * torch.randn(found.shape, generator=rng)).relu()
    labels = torch.arange(classes).repeat_interleave(each)
    return LabelledFeatures(found.flatten(0, 1), labels)


def make_harness(
    known: LabelledFeatures, ipc: int, classes: int, settings: Settings
) -> Callable[[], tuple[ClassAtoms, dict[str, float]]]:
    """Makes the stage: classes lie side by side, one a core."""
    spec = Targets(target=BarycenterTarget(), counts=(ipc,) * classes, seed=0)

    return lambda: find_atoms(spec, known, settings.ctx, Meter("cpu"))


def run_pot(known: LabelledFeatures, ipc: int, classes: int) -> list[np.ndarray]:
    """Finds POT's free-support barycenters with equal weights, class by class, equal starts."""
    found = []
    for cls in range(classes):
        own = known.features[known.labels == cls].double()
        start = draw_start(own, ipc, make_generator(0, "targets", cls)).numpy()
        shares = [ot.unif(len(own))]
        found.append(ot.lp.free_support_barycenter([own.numpy()], shares, start))
    return found


def measure_objective(known: LabelledFeatures, found: list[np.ndarray]) -> float:
    """Computes the mean W₂² of equally weighted atoms and their class."""
    return fmean(
        wasserstein_squared(torch.from_numpy(points), known.features[known.labels == cls].double())
        for cls, points in enumerate(found)
    )


def measure(settings: Settings) -> Part:
    classes, each, width = (
        settings.size(full, quick) for full, quick in ((24, 2), (1300, 60), (512, 16))
    )
    known, many = make_features(classes, each, width), settings.size(1000, 4)
    rows, limits = [], []
    for ipc, most in PROMISED.items():
        ours = make_harness(known, ipc, classes, settings)
        theirs = Work(partial(run_pot, known, ipc, classes), classes)
        works = {"harness": Work(ours, classes), "POT, equal weights": theirs}
        repeats = settings.size(max(2, settings.repeats // 2), 1)
        times = interleave(works, repeats, "cpu", warm=not settings.quick)
        # Once: it takes minutes.
        whole = make_harness(make_features(many, each, width), ipc, many, settings)
        times[f"harness, {many:,} classes"] = interleave({"": Work(whole)}, 1, "cpu", warm=False)[
            ""
        ]
        rows += [
            Row(f"{name}, IPC {ipc}", "s" if "classes" in name else "s / class", timing)
            for name, timing in times.items()
        ]
        objective = ours()[1]["targets.objective"] / measure_objective(
            known, run_pot(known, ipc, classes)
        )
        limits += [
            Limit(f"{many:,} classes, IPC {ipc}, s", rows[-1].timing.seconds, most=most),
            Limit(f"objective, harness / POT, IPC {ipc}", objective, most=1.001),
        ]
    return Part(
        f"Barycenters: {each:,} x {width} features a class",
        rows,
        limits,
        (
            f"Side by side with POT on {classes} classes, then {many:,} of them once, on "
            f"{settings.threads} core(s). The harness learns weights and computes a k-means bound "
            "besides, POT does neither.",
        ),
    )
