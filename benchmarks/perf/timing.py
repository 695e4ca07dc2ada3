"""Interleaved timing: variants take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch


@dataclass(frozen=True, slots=True)
class Work:
    """One way to do a piece of work."""

    run: Callable[[], object]
    units: float = 1.0
    """Iterations, epochs or classes that one call of `run` does; times are per unit."""


@dataclass(slots=True)
class Timing:
    """Seconds per unit of one variant, one entry a repeat."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def __add__(self, other: Timing) -> Timing:
        """Adds the times of two pieces of work, one after the other."""
        return Timing(
            [a + b for a, b in zip(self.wall, other.wall, strict=True)],
            [a + b for a, b in zip(self.cpu, other.cpu, strict=True)],
        )

    @property
    def seconds(self) -> float:
        return median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        return median(self.cpu)


def interleave(
    variants: Mapping[str, Work], repeats: int, device: str, warm: bool = True
) -> dict[str, Timing]:
    """Times every variant once a repeat, in an order that rotates; a first round is not counted."""
    found = {name: Timing() for name in variants}
    names = list(variants)
    for turn in range(-int(warm), repeats):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            wall, cpu = _time_once(variants[name], device)
            if turn >= 0:
                found[name].wall.append(wall)
                found[name].cpu.append(cpu)
    return found


def _time_once(work: Work, device: str) -> tuple[float, float]:
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize(device)
    wall, cpu = time.perf_counter(), _read_processor_time()
    work.run()
    if cuda:
        torch.cuda.synchronize(device)
    return (
        (time.perf_counter() - wall) / work.units,
        (_read_processor_time() - cpu) / work.units,
    )


def _read_processor_time() -> float:
    """Reads the seconds of this process and of the workers that it has ended."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime


def ratio(one: Timing, other: Timing, device: str) -> float:
    """Returns how many times longer `one` takes: the median of the ratios within repeats.

    On one core of a CPU of processor time, which a busy machine distorts less than time on the
    wall. With several threads some of it is waiting for one another, and elsewhere the processor
    only hands work out: there the clock on the wall counts.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    pairs = (one.cpu, other.cpu) if alone else (one.wall, other.wall)
    return median(a / b for a, b in zip(*pairs, strict=True))
