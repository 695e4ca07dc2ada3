"""A student's epoch under the teacher's labels: harness, bare networks, plain loop with files."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.perf.plain.student import PlainStudent
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.statistics import write_files
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import (
    Settings,
    build_stock,
    copy_bare,
    copy_contiguous,
    describe_noise,
    make_noise,
    make_teacher,
)
from ddbench.api.recipe import Training
from ddbench.api.types import Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.pipeline.stages.relabel import ask
from ddbench.training.batches import Stream, normalise
from ddbench.training.loop import Trainee, train
from ddbench.training.schedule import make_optimizer
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.labellers.fkd import FKD

SLOWER_FIELD = {"cpu": 2.0, "cuda": 5.0}
"""How many times longer the plain loop is to take."""
EPOCHS = 3
"""Epochs of one measured training: what an optimiser allocates at first is no epoch's."""
FIVE_STUDENTS = {"cpu": 4.2, "cuda": 2.5}
"""How many times longer five students of one distilled set may take than one."""


def make_harness(
    data: RealData, network: Network, settings: Settings, students: int = 1
) -> Callable[[], object]:
    """Makes a few epochs of the training loop, labels asked as it goes, once for all students."""
    ctx, training = settings.ctx, Training(epochs=EPOCHS, batch_size=settings.batch)
    modules = [build_network(ResNet(18), data.info, 1 + run, ctx) for run in range(students)]
    stream = Stream(
        images=data.train_images,
        labels=data.train_labels,
        weights=torch.ones(len(data.train_labels)),
        info=data.info,
        augmentation=training.augmentation,
        batch_size=training.batch_size,
        seed=0,
        device=ctx.device,
    )
    labeller = FKD()
    return lambda: train(
        [Trainee(module, 1) for module in modules],
        stream,
        training,
        labeller.loss,
        ctx,
        "student",
        lambda batch: ask([network], batch.images, labeller, ctx),
    )


def make_floor(data: RealData, network: Network, settings: Settings) -> Callable[[], object]:
    """Makes as many teacher forwards and student steps, on plain images, batch after batch.

    The optimiser is the harness's, which is faster than the field's.
    """
    ctx, training = settings.ctx, Training(epochs=1, batch_size=settings.batch)
    module = build_stock(ResNet(18), data.info, 1, ctx.device).train()
    teacher_ = copy_bare(network, data, settings)
    optimizer = make_optimizer(module, training)
    batches = [
        (normalise(images.to(ctx.device), data.info), labels.to(ctx.device))
        for images, labels in zip(
            data.train_images.split(settings.batch),
            data.train_labels.split(settings.batch),
            strict=True,
        )
    ]

    def run() -> None:
        for images, labels in batches:
            with torch.no_grad(), ctx.autocast():
                teacher_(images)
            optimizer.zero_grad(set_to_none=True)
            with ctx.autocast():
                logits = module(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()

    return run


def make_plain(
    data: RealData, network: Network, settings: Settings, place: Path
) -> Callable[[], object]:
    write_files(data, place)
    loop = PlainStudent(
        copy_contiguous(network, settings),
        build_stock(ResNet(18), data.info, 1, settings.device),
        sorted((place / "train").rglob("*.jpg")),
        place / "labels",
        data.info,
        settings.batch,
    )
    epochs = itertools.count()
    return lambda: loop.epoch(next(epochs))


def measure(settings: Settings) -> Part:
    count = settings.size(3 if settings.device == "cpu" else 10, 2) * settings.batch
    data = make_noise(describe_noise(settings, 10, count))
    network = make_teacher(data, settings)
    with tempfile.TemporaryDirectory() as place:
        works = {
            "harness": Work(make_harness(data, network, settings), EPOCHS),
            "harness, five students": Work(make_harness(data, network, settings, 5), EPOCHS),
            "plain loop, label files": Work(make_plain(data, network, settings, Path(place))),
            "teacher forward + student step": Work(make_floor(data, network, settings)),
        }
        repeats = settings.size(max(3, settings.repeats // 2), 1)
        times = interleave(works, repeats, settings.device, warm=not settings.quick)
    ours, five, field, bare = times.values()
    kind = "cpu" if settings.device == "cpu" else "cuda"
    return Part(
        f"Student epoch under the teacher's labels: {count} images, batch {settings.batch}",
        [Row(name, "s / epoch", timing) for name, timing in times.items()],
        [
            Limit("harness / bare", ratio(ours, bare, settings.device), most=1.2),
            Limit(
                "plain loop / harness",
                ratio(field, ours, settings.device),
                least=SLOWER_FIELD[kind],
            ),
            Limit(
                "five students / one", ratio(five, ours, settings.device), most=FIVE_STUDENTS[kind]
            ),
        ],
        ("The plain loop labels and learns; validation is left out of all three.",),
    )
