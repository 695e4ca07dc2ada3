"""targets: features of each class -> the atoms that its images are drawn to. On the CPU."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ddbench.context import Context
from ddbench.errors import DDBenchError
from ddbench.meter import Meter
from ddbench.roles import Target
from ddbench.seeds import generator
from ddbench.stage_specs import Targets
from ddbench.types import Atoms, Tensors

WORTH_PROCESSES = 20.0
"""Seconds of work from which on it is divided among processes, which take some to begin."""
MOST_PROCESSES = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """The work for one class, in arrays: they travel to other processes whole."""

    target: Target
    features: Float[np.ndarray, "n d"]
    count: int
    seed: int
    cls: int

    def atoms(self) -> Atoms:
        own = torch.from_numpy(self.features).double()
        rng = generator(self.seed, "targets", self.cls)
        atoms = self.target.atoms(own, self.count, rng)
        _check(atoms, self.target, self.count, self.cls, own.shape[1])
        return atoms


def targets(
    spec: Targets, features: Tensors, ctx: Context, meter: Meter
) -> tuple[Tensors, dict[str, float]]:
    """Atoms of all classes, class-major: `points` [n d], `weights` [n]; and their mean figures."""
    pieces = [
        Piece(spec.target, features["features"][rows].numpy(), count, spec.seed, cls)
        for cls, count in enumerate(spec.counts)
        if count
        for rows in ((features["labels"] == cls).nonzero().flatten(),)
    ]
    meter.group()
    every: list[Atoms] = []
    figures = defaultdict(list)
    with ctx.progress.stage("targets: atoms of each class", len(pieces)) as advance:
        for atoms in _side_by_side(pieces):
            every.append(atoms)
            for name, value in atoms.report.items():
                figures[name].append(value)
            meter.tick()
            advance(1)
    points = torch.cat([atoms.points.float() for atoms in every])
    weights = torch.cat([atoms.weights.float() for atoms in every])
    report = {f"targets.{name}": fmean(values) for name, values in figures.items()}
    return {"points": points, "weights": weights}, report


def _side_by_side(pieces: Sequence[Piece]) -> Iterator[Atoms]:
    """Results in order, as many pieces at once as torch has threads.

    A class is too small to be divided. Whoever works alone adds up in one order, so that numbers
    do not depend on how many there are. Much work goes to processes: POT's solver lets no other
    thread of Python run.
    """
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            started = time.perf_counter()
            yield from map(Piece.atoms, pieces[:1])
            ahead = (time.perf_counter() - started) * len(pieces[1:])
            if threads > 1 and ahead > WORTH_PROCESSES:
                yield from _in_processes(pieces[1:], min(threads, MOST_PROCESSES))
            else:
                yield from _in_threads(pieces[1:], threads)
    finally:
        torch.set_num_threads(threads)


def _in_threads(pieces: Sequence[Piece], threads: int) -> Iterator[Atoms]:
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(Piece.atoms, pieces)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_processes(pieces: Sequence[Piece], count: int) -> Iterator[Atoms]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            pool = Parallel(count, return_as="generator", max_nbytes=None)
            yield from starmap(_unpacked, pool(delayed(_packed)(piece) for piece in pieces))
    finally:
        get_reusable_executor().shutdown(kill_workers=True)  # each holds torch in memory


def _packed(piece: Piece) -> tuple[Any, ...]:
    atoms = piece.atoms()
    return atoms.points.numpy(), atoms.weights.numpy(), atoms.report


def _unpacked(points: Any, weights: Any, report: Any) -> Atoms:
    return Atoms(torch.from_numpy(points), torch.from_numpy(weights), report)


def _check(atoms: Atoms, target: Target, count: int, cls: int, width: int) -> None:
    if atoms.points.shape != (count, width) or atoms.weights.shape != (count,):
        raise DDBenchError(
            f"{type(target).__name__}.atoms gave points {list(atoms.points.shape)} "
            f"and weights {list(atoms.weights.shape)}",
            f"expected [m, d] = [{count}, {width}] and [{count}], for class {cls}",
            hint="mend the target's `atoms`",
        )
