"""How cost grows with images per class, classes, resolution and width: recover beside its floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.perf.alone import run_alone
from benchmarks.perf.recover import make_floor, make_harness, make_scene
from benchmarks.perf.report import Curve, Limit, Part, Row
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import Settings

MOST = 1.25
"""Times the bare network's cost that recover may take, as at its usual size."""

Resize = Callable[[Settings, int], Settings]

AXES: Mapping[str, tuple[tuple[int, ...], Resize]] = {
    "images a class": (
        (1, 10, 50, 100),
        lambda usual, size: replace(usual, ipc=size),
    ),
    "classes, one image each": (
        (10, 100, 1000),
        lambda usual, size: replace(usual, classes=size, ipc=1),
    ),
    "pixels a side, two images a class": (
        (32, 64, 128, 224),
        lambda usual, size: replace(usual, resolution=size, ipc=2),
    ),
    "channels of a ConvNet-D3": (
        (32, 64, 128, 256),
        lambda usual, size: replace(usual, resolution=32, width=size),
    ),
}
"""Axes of growth: their sizes, and how a size is set."""
VARIANTS = {"harness": make_harness, "floor": make_floor}


def measure(settings: Settings) -> Part:
    # A step over 1,000 images takes ten seconds of a CPU.
    usual = replace(settings, iterations=1 if settings.quick else 2)
    curves = [_measure_curve(axis, usual) for axis in AXES]
    rows = [
        row for curve in curves for pair in zip(*curve.rows.values(), strict=True) for row in pair
    ]
    limits = [limit for curve in curves for limit in _judge_curve(curve, settings.device)]
    return Part(
        "Growth: an iteration over all images, recover beside the bare network",
        rows,
        limits,
        (
            "Usual size: ResNet-18, 10 classes of 10 images, 64 pixels, batches of 100. Seconds "
            "are of one iteration over every image. The floor grows with what a network computes. "
            "With images and classes recover grows as it does; with pixels by moments, crops and "
            "the pixels' optimiser as well, which the floor does not have. On little work small "
            "operations count, of which recover has more. Up to 32 pixels "
            "ResNet-18 begins without a stride, so that 32 cost more than 64. The ConvNet is of 32 "
            "pixels.",
        ),
        curves,
    )


def _measure_curve(axis: str, usual: Settings) -> Curve:
    sizes, resize = AXES[axis]
    if usual.quick:
        sizes = sizes[:2]
    found: dict[str, list[Row]] = {name: [] for name in VARIANTS}
    for size in sizes:
        settings = resize(usual, size)
        for name, row in _measure_rows(settings, f"{axis}: {size:,}").items():
            found[name].append(row)
    return Curve(axis, sizes, found)


def _measure_rows(settings: Settings, label: str) -> dict[str, Row]:
    world = make_scene(settings)
    works = {name: Work(make(world), world.iterations) for name, make in VARIANTS.items()}
    repeats = min(settings.repeats, 3)
    times = interleave(works, repeats, settings.device, warm=not settings.quick)
    peaks = {name: run_alone("recover", name, replace(settings, iterations=1)) for name in VARIANTS}
    return {
        name: Row(f"{label}, {name}", "s", times[name], peaks[name].peak, peaks[name].added)
        for name in VARIANTS
    }


def _judge_curve(curve: Curve, device: str) -> list[Limit]:
    """Judges the largest ratio along an axis, and that of what the most work adds to the least.

    The first is that of the least work, where an iteration's small operations count; the second is
    what a further image costs.
    """
    pairs = list(zip(curve.rows["harness"], curve.rows["floor"], strict=True))
    seconds = max(ratio(ours.timing, bare.timing, device) for ours, bare in pairs)
    working = max((ours.added or 0) / (bare.added or 1) for ours, bare in pairs)
    least, *_, most = sorted(pairs, key=lambda pair: pair[1].timing.seconds)
    ours, bare = (
        high.timing.seconds - low.timing.seconds for low, high in zip(least, most, strict=True)
    )
    return [
        Limit(f"{curve.axis}: harness / floor, largest", seconds, most=MOST),
        Limit(f"{curve.axis}: growth of harness / growth of floor", ours / bare, most=MOST),
        Limit(f"{curve.axis}: harness / floor, working memory, largest", working, most=MOST),
    ]
