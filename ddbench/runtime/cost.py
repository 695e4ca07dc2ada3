"""The cost of a stage: seconds, peak memory, seconds per iteration."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

WINDOW = 100
"""Consecutive iterations of which seconds per iteration are a mean, as in WMDD's Table 3."""
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory that an artifact took."""

    seconds: float
    peak_bytes: int | None
    """Device memory on CUDA (torch's allocator), resident memory of the process on a CPU."""
    device: str
    iteration_seconds: float | None = None
    """Mean over the last 100 consecutive iterations of the longest group."""
    iteration_sd: float | None = None
    iterations: int = 0
    cpu_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def part(self, share: float) -> Cost:
        """Returns the share of one of several artifacts of one pass, so that sums stay true."""
        cpu = None if self.cpu_seconds is None else self.cpu_seconds * share
        return Cost(self.seconds * share, self.peak_bytes, self.device, cpu_seconds=cpu)


@dataclass(slots=True)
class Meter:
    """A stop-watch of a running stage; `cost` is set when it ends."""

    device: str
    ticks: list[list[float]] = field(default_factory=list)
    cost: Cost | None = None

    def group(self) -> None:
        """Begins a run of iterations: time before its first tick is not an iteration."""
        self.ticks.append([])

    def tick(self) -> None:
        """Ends an iteration, by the host's clock, which keeps pace with CUDA over a window."""
        if not self.ticks:
            self.group()
        self.ticks[-1].append(time.perf_counter())


@contextlib.contextmanager
def measure(device: str) -> Iterator[Meter]:
    """Measures what runs inside; synchronises CUDA at both ends."""
    meter = Meter(device)
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    watcher = _ResidentPeak()
    started, cpu = time.perf_counter(), time.process_time()
    with watcher:
        yield meter
        if cuda:
            torch.cuda.synchronize(device)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak = torch.cuda.max_memory_allocated(device) if cuda else watcher.peak
    mean, sd, count = _average_gaps(meter.ticks)
    meter.cost = Cost(seconds, peak, name_device(device), mean, sd, count, cpu_seconds)


def _average_gaps(groups: list[list[float]]) -> tuple[float | None, float | None, int]:
    """Returns mean and standard deviation of seconds per iteration, and all iterations."""
    total = sum(len(ticks) for ticks in groups)
    longest = max(groups, key=len, default=[])
    # The first iterations compile, allocate and warm caches: they are no part of the window.
    warm = longest[min(10, len(longest) // 2) :][-(WINDOW + 1) :]
    gaps = [b - a for a, b in itertools.pairwise(warm)]
    if not gaps:
        return None, None, total
    return statistics.fmean(gaps), statistics.stdev(gaps) if len(gaps) > 1 else None, total


class _ResidentPeak:
    """Highest resident memory of this process while inside.

    Linux keeps a high-water mark that can be reset; elsewhere a thread samples.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> _ResidentPeak:
        self._marked = self._reset_mark()
        if not self._marked:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()
        else:
            self.peak = self._read_mark()

    @staticmethod
    def _reset_mark() -> bool:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    @staticmethod
    def _read_mark() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return psutil.Process().memory_info().rss

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.peak = max(self.peak, process.memory_info().rss)
            if self._done.wait(_SAMPLE_SECONDS):
                return


def name_device(device: str) -> str:
    """Names a device as a reader of a table would: a GPU by its model, a CPU by its threads."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "cpu":
        count = torch.get_num_threads()
        return f"CPU, {count} thread{'' if count == 1 else 's'}"
    return device
