"""Peak memory of one variant, in a process of its own: a high-water mark cannot be shared."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.perf.world import Settings


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the height: resident on a CPU, of torch's allocator on CUDA."""

    peak: int
    added: int
    """Above what the process held when its libraries were loaded."""
    tensors: int
    """What torch had given out at the height, as CUDA's allocator counts it: neither libraries nor
    what the C library's allocator keeps back, nor what was there before the run."""


def run_alone(part: str, variant: str, settings: Settings) -> Peak:
    """Runs a variant of a part in a new process.

    The harness runs with the allocator settings that a command gives it, the others with those
    that a script finds.
    """
    words = [part, variant, json.dumps(dataclasses.asdict(settings))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.perf.alone", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{part}, {variant}:\n{done.stderr}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def main(part: str, variant: str, settings: Settings) -> Peak:
    """Measures a variant: what the new process does."""
    import psutil
    import torch
    import torchvision  # noqa: F401  a library, which is otherwise loaded with the network

    from ddbench.runtime.cost import measure
    from ddbench.runtime.memory import keep_freed_memory

    torch.set_num_threads(settings.threads)
    module = importlib.import_module(f"benchmarks.perf.{part}")
    cuda = settings.device.startswith("cuda")
    loaded = 0 if cuda else psutil.Process().memory_info().rss
    run = module.VARIANTS[variant](module.make_scene(settings))
    if variant.startswith("harness"):
        keep_freed_memory()
    with measure(settings.device) as meter:
        run()
    assert meter.cost is not None
    peak = meter.cost.peak_bytes or 0
    return Peak(peak, peak - loaded, peak if cuda else _measure_tensors(run))


def _measure_tensors(run: Callable[[], object]) -> int:
    """Returns bytes of CPU tensors at the height of a second run."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    held = most = 0
    events = seen.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


if __name__ == "__main__":
    found = main(sys.argv[1], sys.argv[2], Settings(**json.loads(sys.argv[3])))
    print(json.dumps(dataclasses.asdict(found)))
