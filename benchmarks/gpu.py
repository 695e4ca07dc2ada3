"""All that a GPU is needed for, in calls of a few minutes: `python -m benchmarks.gpu`.

Called again, it goes on where it stopped: finished steps have a mark, a suite's cells are in the
cache. A step that is cut off in the middle starts again, but for what the cache holds of it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

PERF = ("-m", "benchmarks.perf", "--device")
RUN = ("-m", "ddbench", "run")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of this Python that ends with 0 when its numbers are there."""

    name: str
    words: tuple[str, ...]


def list_steps(device: str, output: Path) -> list[Step]:
    """Lists all steps, quick ones first, so that a short session is of use."""
    usual = [(part, (part,), ()) for part in ("statistics", "student", "pipeline", "growth")]
    measured = [
        ("recover", ("recover", "memory"), ()),
        ("compiled", ("compiled",), ()),
        ("compiled-table3-setting", ("compiled",), ("--resolution", "224", "--batch", "10")),
        ("table3-setting", ("recover", "memory"), ("--resolution", "224", "--batch", "10")),
        ("recover-fp32", ("recover", "memory"), ("--precision", "fp32")),
        *usual,
    ]
    perf = [
        Step(name, (*PERF, device, "--only", ",".join(parts), *more, "-o", str(output / name)))
        for name, parts, more in measured
    ]
    suites = [
        Step(name, (*RUN, f"benchmarks/{name}.toml", "--profile", "gpu", "--device", device))
        for name in ("table3", "table4")
    ]
    return [*perf[:5], *suites, *perf[5:]]


def work(todo: Sequence[Step], marks: Path, seconds: float) -> int:
    """Runs what has no mark yet until the time is up.

    Returns:
        0 if all is done, 1 if a step failed, 2 if time was too short: call again.
    """
    end, failed = time.monotonic() + seconds, False
    marks.mkdir(parents=True, exist_ok=True)
    for step in todo:
        mark, started = marks / f"{step.name}.done", time.monotonic()
        if mark.exists():
            typer.echo(f"{step.name}: done before")
            continue
        if started >= end:
            return 2
        typer.echo(f"{step.name}: python {' '.join(step.words)}")
        try:
            found = subprocess.run(
                [sys.executable, *step.words], timeout=end - started, check=False
            )
        except subprocess.TimeoutExpired:
            typer.echo(f"{step.name}: cut off; call again to go on")
            return 2
        typer.echo(f"{step.name}: {time.monotonic() - started:.0f} s, code {found.returncode}")
        failed = failed or found.returncode != 0
        if found.returncode == 0:
            mark.touch()
    return int(failed)


def main(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for marks and results.")],
    device: Annotated[str, typer.Option(help="cuda, or cuda:1.")] = "cuda",
    minutes: Annotated[float, typer.Option(help="After which the call ends.")] = 9.0,
) -> None:
    """Measures on a GPU what issues of speed and cost ask for; call until it ends with code 0."""
    raise typer.Exit(work(list_steps(device, output), output / "marks", 60 * minutes))


if __name__ == "__main__":
    typer.run(main)
