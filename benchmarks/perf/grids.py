"""A large grid: planned without being run, and tabulated when it is finished; start-up included."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Timing
from benchmarks.perf.world import Settings
from ddbench.api.errors import DDBenchError
from ddbench.config.session import open_session
from ddbench.config.suite import SuiteTable
from ddbench.pipeline.execute import run_cell
from ddbench.store.records import Records


def make_grid(seeds: int) -> SuiteTable:
    """Makes a suite of two methods at five sizes: ten cells a seed."""
    return SuiteTable(
        method=["wmdd", "random"], ipc=[1, 2, 5, 10, 20], seeds=seeds, reference=False
    )


def write_suite(suite: SuiteTable, path: Path) -> None:
    """Writes a suite as a file: a list as JSON writes it is one of TOML too."""
    names = ("method", "dataset", "ipc", "seeds", "reference")
    path.write_text("".join(f"{name} = {json.dumps(getattr(suite, name))}\n" for name in names))


class _NothingToRun:
    """Students that refuse every cell, so that only its record's frame is made."""

    def evaluate(self, plan: Any, run: int) -> None:
        raise DDBenchError("not run")


def write_records(suite: SuiteTable, folder: Path) -> int:
    """Writes finished records of all cells, with accuracies made up; returns how many."""
    session = open_session("cpu", "fp32")
    evaluators = session.evaluators([])
    records = Records(folder)
    students: Any = _NothingToRun()
    folder.mkdir(parents=True, exist_ok=True)
    plans = session.plans(suite, evaluators)
    for row, plan in enumerate(plans):
        frame = run_cell(plan, evaluators, students, "ddbench run")
        done = {
            "status": "ok",
            "reason": "",
            "metrics": [{"top1": 40.0 + row % 17}],
            "directions": {"top1": True},
            "units": {"top1": "%"},
        }
        records.put(frame.model_copy(update=done))
    return len(plans)


def time_command(words: list[str], repeats: int) -> Timing:
    """Times a command in a process of its own."""
    found = Timing()
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "ddbench", *words], capture_output=True, text=True, check=False
        )
        found.wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode:
            raise RuntimeError(f"ddbench {' '.join(words)}:\n{done.stderr}")
    return found


def measure(settings: Settings) -> Part:
    suite, repeats = make_grid(settings.size(100, 1)), settings.size(3, 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "records"
        cells = write_records(suite, folder)
        file = Path(place) / "suite.toml"
        write_suite(suite, file)
        words = ["run", str(file), "--device", "cpu", "--cache", place, "--dry-run"]
        planned = time_command(words, repeats)
        listed = time_command(["table", "--records", str(folder)], repeats)
    return Part(
        f"A grid of {cells:,} cells",
        [Row("dry run", "s", planned), Row("table of finished records", "s", listed)],
        [
            Limit("dry run, CPU s", planned.cpu_seconds, most=3.0),
            Limit("table, CPU s", listed.cpu_seconds, most=5.0),
        ],
        ("Start of Python and its libraries included; wall time is beside it.",),
    )
