"""The pass over the real data: harness, bare forward pass, and the two passes of a plain loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from benchmarks.perf.plain.passes import PlainPasses
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import (
    Settings,
    copy_bare,
    copy_contiguous,
    describe_noise,
    make_noise,
    make_teacher,
)
from ddbench.api.features import Features
from ddbench.api.types import Network
from ddbench.data.description import NamedDataset
from ddbench.data.real import RealData, open_data
from ddbench.pipeline.stages.statistics import BATCH, compute_statistics
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench.training.batches import normalise
from ddbench_plugins.datasets.folder import ImageFolder
from ddbench_plugins.regularizers._moments import ClassMoments

STORED = 160
"""Pixels a side of the JPEG files, as in ImageNette's small edition."""


def make_harness(data: RealData, network: Network, settings: Settings) -> Callable[[], object]:
    """Makes a pass for features and exact moments of every class."""
    wanted = (Features(), ClassMoments())
    return lambda: compute_statistics(wanted, data, network, settings.ctx, Meter(settings.device))


def make_bare(data: RealData, network: Network, settings: Settings) -> Callable[[], object]:
    """Makes a pass of the same batches through the network, nothing looked at."""
    ctx, module = settings.ctx, copy_bare(network, data, settings)

    @torch.no_grad()
    def run() -> None:
        for images in data.train_images.split(BATCH):
            with ctx.autocast():
                module(normalise(images.to(ctx.device), data.info))

    return run


def write_files(data: RealData, folder: Path, tests: int = 1) -> None:
    """Writes the images as JPEG files in class folders `train/` and `test/`, larger than used.

    `tests` is how many test images of each class are written.
    """
    for split, images, labels, most in (
        ("train", data.train_images, data.train_labels, len(data.train_labels)),
        ("test", data.test_images, data.test_labels, tests),
    ):
        for cls, name in enumerate(data.info.classes):
            place = folder / split / name
            place.mkdir(parents=True, exist_ok=True)
            for row in (labels == cls).nonzero().flatten().tolist()[:most]:
                picture = Image.fromarray(images[row].permute(1, 2, 0).numpy())
                picture.resize((STORED, STORED)).save(place / f"{row:05d}.jpg", quality=90)


def make_decoder(folder: Path, settings: Settings) -> Callable[[], object]:
    """Makes what the harness does to files before its pass, once for all stages and runs."""
    named = NamedDataset(
        name="files", part=ImageFolder(path=str(folder), resolution=settings.resolution)
    )

    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            open_data(named, settings.ctx, Cache(Path(cache)))

    return run


def measure(settings: Settings) -> Part:
    count = settings.size(1000, 40)
    few = make_noise(describe_noise(settings, 10, count))
    many = make_noise(describe_noise(settings, settings.size(1000, 20), count))
    network = make_teacher(few, settings)
    repeats = settings.size(max(5, settings.repeats // 2), 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_files(few, folder)
        passes = PlainPasses(
            copy_contiguous(network, settings), folder / "train", few.info, settings.batch
        )
        works = {
            "harness, 10 classes": make_harness(few, network, settings),
            f"harness, {many.info.num_classes:,} classes": make_harness(many, network, settings),
            "bare forward": make_bare(few, network, settings),
            "harness: decode once": make_decoder(folder, settings),
            "plain loop: two passes": lambda: (passes.features(), passes.moments()),
        }
        times = interleave(
            {name: Work(run) for name, run in works.items()},
            repeats,
            settings.device,
            warm=not settings.quick,
        )
    ten, thousand, forward, decode, two = times.values()
    whole = ten + decode
    return Part(
        f"Statistics: features and moments of {count:,} images, {settings.resolution} pixels",
        [Row(name, "s / pass", timing) for name, timing in times.items()],
        [
            Limit("harness / bare, 10 classes", ratio(ten, forward, settings.device), most=1.15),
            Limit(
                f"harness / bare, {many.info.num_classes:,} classes",
                ratio(thousand, forward, settings.device),
                most=1.15,
            ),
            Limit(
                "plain loop / (decoding + harness)", ratio(two, whole, settings.device), least=3.0
            ),
            Limit(
                "plain loop / harness from the store", ratio(two, ten, settings.device), least=3.0
            ),
        ],
        ("The store is decoded once, for this and all later runs and stages.",),
    )
