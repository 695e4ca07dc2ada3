"""Costs: seconds, memory and seconds per iteration of what runs inside."""

from __future__ import annotations

import itertools
import mmap
import time

import psutil
import pytest
import torch

from ddbench.runtime import cost
from ddbench.runtime.cost import WINDOW, Cost, Meter, measure, name_device


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass before each reading of the clock; 0 once they are used up."""
    gaps: list[float] = []
    now = itertools.accumulate(gaps.pop(0) if gaps else 0.0 for _ in itertools.count())
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(now))
    return gaps


def test_seconds_are_those_inside_and_memory_its_height() -> None:
    before = psutil.Process().memory_info().rss
    with measure("cpu") as meter:
        time.sleep(0.02)
        with mmap.mmap(-1, 2**27) as block:  # 128 MB that no allocator keeps
            block.write(b"1" * 2**27)
    assert meter.cost is not None
    assert meter.cost.seconds >= 0.02
    assert meter.cost.cpu_seconds is not None
    assert meter.cost.cpu_seconds < meter.cost.seconds + 1
    assert meter.cost.peak_bytes is not None
    assert before + 2**26 < meter.cost.peak_bytes < before + 2**30
    assert meter.cost.device == name_device("cpu")


def test_iterations_are_those_of_the_longest_group_without_the_first(clock: list[float]) -> None:
    """A mean over the last 100 gaps: the slow first iterations are left out."""
    meter = Meter("cpu")
    clock += [0.0, *[9.0] * 4]
    for _ in range(5):
        meter.tick()
    meter.group()
    clock += [100.0, *[5.0] * 10, *[1.0] * 60, *[3.0] * 50]
    for _ in range(121):
        meter.tick()
    mean, deviation, count = cost._average_gaps(meter.ticks)
    assert count == 126
    assert mean == pytest.approx((50 * 1 + 50 * 3) / WINDOW)
    assert deviation == pytest.approx(1.005, abs=1e-3)


def test_without_iterations_there_are_no_seconds_of_one() -> None:
    assert cost._average_gaps([]) == (None, None, 0)
    assert cost._average_gaps([[1.0]]) == (None, None, 1)


def test_shares_of_a_pass_sum_to_its_cost() -> None:
    whole = Cost(10.0, 2**20, "CPU", 0.1, 0.01, 100, 8.0)
    parts = [whole.part(share) for share in (0.25, 0.75)]
    assert sum(part.seconds for part in parts) == whole.seconds
    assert sum(part.cpu_seconds or 0 for part in parts) == whole.cpu_seconds
    assert {part.peak_bytes for part in parts} == {whole.peak_bytes}
    assert whole.to_json()["iteration_seconds"] == 0.1


def test_memory_is_sampled_where_no_mark_can_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost._ResidentPeak, "_reset_mark", staticmethod(lambda: False))
    with measure("cpu") as meter:
        time.sleep(0.12)
    assert meter.cost is not None
    assert meter.cost.peak_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


@pytest.mark.parametrize(("threads", "name"), [(1, "CPU, 1 thread"), (4, "CPU, 4 threads")])
def test_a_processor_is_named_with_its_threads(
    threads: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert name_device("cpu") == name
