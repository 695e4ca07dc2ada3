"""targets: features of each class -> the atoms that its images are drawn to. On the CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import torch

from ddbench.context import Context
from ddbench.errors import DDBenchError
from ddbench.meter import Meter
from ddbench.seeds import generator
from ddbench.stage_specs import Targets
from ddbench.types import Atoms, Tensors


def targets(
    spec: Targets, features: Tensors, ctx: Context, meter: Meter
) -> tuple[Tensors, dict[str, float]]:
    """Atoms of all classes, class-major: `points` [n d], `weights` [n]; and their mean figures."""
    rows = {
        cls: (features["labels"] == cls).nonzero().flatten()
        for cls, count in enumerate(spec.counts)
        if count
    }

    def found(cls: int) -> Atoms:
        own = features["features"][rows[cls]].double()
        atoms = spec.target.atoms(own, spec.counts[cls], generator(spec.seed, "targets", cls))
        _check(atoms, spec, cls, own.shape[1])
        return atoms

    meter.group()
    every: list[Atoms] = []
    figures = defaultdict(list)
    with ctx.progress.stage("targets: atoms of each class", len(rows)) as advance:
        for atoms in _side_by_side(found, list(rows)):
            every.append(atoms)
            for name, value in atoms.report.items():
                figures[name].append(value)
            meter.tick()
            advance(1)
    points = torch.cat([atoms.points.float() for atoms in every])
    weights = torch.cat([atoms.weights.float() for atoms in every])
    report = {f"targets.{name}": fmean(values) for name, values in figures.items()}
    return {"points": points, "weights": weights}, report


def _side_by_side(work: Callable[[int], Atoms], classes: Sequence[int]) -> Iterator[Atoms]:
    """Results in order; each class on a thread of its own, as many at once as torch has threads.

    A class is too small to be divided. Whoever works alone adds up in one order, so that numbers
    do not depend on how many threads there are.
    """
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with threadpool_limits(1):
            yield from pool.map(work, classes)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _check(atoms: Atoms, spec: Targets, cls: int, width: int) -> None:
    count = spec.counts[cls]
    if atoms.points.shape != (count, width) or atoms.weights.shape != (count,):
        raise DDBenchError(
            f"{type(spec.target).__name__}.atoms gave points {list(atoms.points.shape)} "
            f"and weights {list(atoms.weights.shape)}",
            f"expected [m, d] = [{count}, {width}] and [{count}], for class {cls}",
            hint="mend the target's `atoms`",
        )
