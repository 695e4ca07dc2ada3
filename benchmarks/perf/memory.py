"""Peak memory of a recover iteration, each variant in a process of its own."""

from __future__ import annotations

from benchmarks.perf.alone import run_alone
from benchmarks.perf.recover import VARIANTS
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.world import Settings


def measure(settings: Settings) -> Part:
    found = {name: run_alone("recover", name, settings) for name in VARIANTS}
    ours, field, bare, _ = found.values()
    return Part(
        f"Peak memory of recover, {settings.resolution} pixels, batch {settings.batch}",
        [
            Row(name, peak=peak.peak, added=peak.added, tensors=peak.tensors)
            for name, peak in found.items()
        ],
        [
            Limit("harness / plain loop", ours.peak / field.peak, most=0.6),
            Limit("harness / floor", ours.peak / bare.peak, most=1.2),
            Limit("harness / plain loop, working memory", ours.added / field.added, most=0.6),
            Limit("harness / floor, working memory", ours.added / bare.added, most=1.2),
            Limit("harness / plain loop, tensors", ours.tensors / field.tensors, most=0.6),
            Limit("harness / floor, tensors", ours.tensors / bare.tensors, most=1.2),
        ],
        (
            "Working memory: what came on top of the loaded libraries, network and data included.",
            "Tensors: what torch had given out during the run, which is what counts on a GPU; on a "
            "CPU the C library's allocator holds on to more.",
        ),
    )
