"""The whole of WMDD with a given teacher, from JPEG files to a student: harness and plain loop."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, variance

import numpy as np
import ot
import torch

from benchmarks.perf.plain.passes import PlainPasses
from benchmarks.perf.plain.recover import PlainRecover
from benchmarks.perf.plain.student import PlainStudent
from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.statistics import write_files
from benchmarks.perf.timing import Timing, ratio
from benchmarks.perf.world import Settings, build_stock, copy_contiguous, describe_noise, make_noise
from ddbench.api.types import Network, Tensors
from ddbench.config.session import open_session
from ddbench.config.suite import SuiteTable
from ddbench.data.real import RealData
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.runner import Runner
from ddbench.pipeline.students import Students
from ddbench.runtime.context import use_seed
from ddbench.store.cache import Cache
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.datasets.folder import TEST_FOLDERS

STAGES = ("decode once", "statistics", "barycenters", "recover", "labels and student")
NOISE_ERRORS, LEAST_NOISE = 2, 1.0
"""Standard errors, and points at least, by which the harness's students may be worse."""
VALIDATIONS = 6
"""How often the plain loop looks at the test images while a student trains, as the field does."""


@dataclass(slots=True)
class Laps:
    """Seconds by stage, one entry a repeat, of one variant; and what its students reached."""

    times: dict[str, Timing] = field(default_factory=lambda: defaultdict(Timing))
    top1: list[float] = field(default_factory=list)

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.times[stage].wall.append(time.perf_counter() - wall)
        self.times[stage].cpu.append(time.process_time() - cpu)

    @property
    def whole(self) -> Timing:
        first, *others = self.times.values()
        for other in others:
            first = first + other
        return first


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the pipeline; those of the promise, but for the images, unless `--quick`."""

    ipc: int
    iterations: int
    epochs: int
    teacher_epochs: int

    @classmethod
    def of(cls, settings: Settings) -> Sizes:
        if settings.quick:
            return cls(ipc=2, iterations=2, epochs=2, teacher_epochs=20)
        return cls(ipc=10, iterations=200, epochs=50, teacher_epochs=8)


def write_class_folders(folder: Path, settings: Settings) -> None:
    """Writes JPEG files in class folders, where none are at hand: noise around patterns."""
    info = describe_noise(settings, 10, settings.size(2000, 50))
    train, test = make_noise(info), make_noise(info, seed=1)
    patterns = make_noise(describe_noise(settings, 10, 10), seed=2)
    looks = patterns.train_images[patterns.train_labels.argsort()]

    def mixed(data: RealData) -> torch.Tensor:
        return (0.6 * looks[data.train_labels] + 0.4 * data.train_images).to(torch.uint8)

    shown = replace(
        train, train_images=mixed(train), test_images=mixed(test), test_labels=test.train_labels
    )
    write_files(shown, folder, tests=10)


def make_plans(folder: Path, settings: Settings, seeds: int) -> list[Plan]:
    """Plans one cell a seed."""
    sizes = Sizes.of(settings)
    suite = SuiteTable(
        method=["wmdd"],
        dataset=[f"folder:{folder}@{settings.resolution}"],
        ipc=[sizes.ipc],
        seeds=seeds,
        reference=False,
        set={
            "recover.iterations": str(sizes.iterations),
            "evaluate.epochs": str(sizes.epochs),
            "squeeze.epochs": str(sizes.teacher_epochs),
            "evaluate.batch_size": str(settings.batch),
        },
    )
    return open_session(settings.device, settings.precision).plans(suite, {})


def open_runner(place: Path, settings: Settings) -> Runner:
    return Runner(Cache(place), settings.ctx, lambda *_: None)


def run_harness(plan: Plan, teacher: Path, settings: Settings, laps: Laps) -> None:
    """Runs every stage of a cell as `ddbench run` does, into a cache of the teacher only."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(teacher / "artifacts" / "squeeze", Path(place) / "artifacts" / "squeeze")
        runner = open_runner(Path(place), settings)
        with laps.lap("decode once"):
            runner.open_data(plan.cell.dataset)
        (found_through,) = plan.teachers
        with laps.lap("statistics"):
            for stage in found_through.statistics:
                runner.compute_statistic(plan, found_through, stage.spec.statistic)
        with laps.lap("barycenters"):
            for target in found_through.targets:
                if target is not None:
                    runner.find_atoms(plan, found_through, target)
        with laps.lap("recover"):
            runner.recover(plan)
        with laps.lap("labels and student"):
            found = Students(runner).evaluate(plan, 0).tensors()
    laps.top1.append(_measure_top1(found))


def run_plain(
    plan: Plan, data: RealData, network: Network, files: Path, settings: Settings, laps: Laps
) -> None:
    """Runs the same with the field's loops, class folders in between; equal weights."""
    sizes, info, seed = Sizes.of(settings), data.info, plan.cell.seed
    module = copy_contiguous(network, settings)
    with tempfile.TemporaryDirectory() as place, use_seed(seed):
        np.random.seed(seed)
        passes = PlainPasses(module, files / "train", info, settings.batch)
        with laps.lap("statistics"):
            features, moments = passes.features(), passes.moments()
        with laps.lap("barycenters"):
            atoms = torch.cat(
                [_find_barycenter(own.double().numpy(), sizes.ipc) for own in features]
            )
        labels = torch.arange(info.num_classes).repeat_interleave(sizes.ipc)
        with laps.lap("recover"):
            loop = PlainRecover(
                module, moments, atoms.to(settings.device), labels, info, _read_strength(plan)
            )
            loop.run_and_save(sizes.iterations, 0.25, 4, labels, Path(place) / "images")
        with laps.lap("labels and student"):
            training = PlainStudent(
                copy_contiguous(network, settings),
                build_stock(ResNet(18), info, seed, settings.device),
                sorted((Path(place) / "images").rglob("*.jpg")),
                Path(place) / "labels",
                info,
                settings.batch,
                sizes.epochs,
            )
            test = next(files / name for name in TEST_FOLDERS if (files / name).is_dir())
            looks = {round(sizes.epochs * part / VALIDATIONS) for part in range(1, VALIDATIONS + 1)}
            for epoch in range(sizes.epochs):
                training.epoch(epoch)
                if epoch + 1 in looks:
                    found = training.validate(test)
    laps.top1.append(_measure_top1(found))


def _find_barycenter(features: np.ndarray, ipc: int) -> torch.Tensor:
    start = np.random.randn(ipc, features.shape[1])
    found = ot.lp.free_support_barycenter([features], [ot.unif(len(features))], start)
    return torch.from_numpy(found).float()


def _read_strength(plan: Plan) -> float:
    ((weight, _),) = plan.recover.spec.regularizers
    return weight


def _measure_top1(found: Tensors) -> float:
    return 100 * (found["logits"].argmax(1) == found["labels"]).float().mean().item()


def _compare_accuracy(ours: list[float], field_: list[float]) -> list[Limit]:
    """Checks that the harness's students are as good: a fast loop that spoils images is none.

    Of one seed nothing can be said.
    """
    if len(ours) < 2:
        return []
    error = sqrt(sum(variance(top1) / len(top1) for top1 in (ours, field_)))
    difference = fmean(ours) - fmean(field_)
    noise = max(NOISE_ERRORS * error, LEAST_NOISE)
    return [Limit("top-1, harness less plain loop, points", difference, least=-noise)]


def measure(settings: Settings) -> Part:
    with tempfile.TemporaryDirectory() as place:
        files = Path(settings.images) if settings.images else Path(place) / "files"
        if not settings.images:
            write_class_folders(files, settings)
        seeds = settings.size(3, 1)
        cells = make_plans(files, settings, seeds)
        cache = Path(place) / "cache"
        runner = open_runner(cache, settings)
        if settings.teachers:
            squeezes = Path("artifacts", "squeeze", cells[0].teachers[0].squeeze.key)
            shutil.copytree(Path(settings.teachers) / squeezes, cache / squeezes)
        data = runner.open_data(cells[0].cell.dataset)
        network = runner.load_teacher(cells[0], cells[0].teachers[0])
        ours, field_ = Laps(), Laps()
        for turn, plan in enumerate(cells):
            works = [
                lambda plan=plan: run_harness(plan, cache, settings, ours),
                lambda plan=plan: run_plain(plan, data, network, files, settings, field_),
            ]
            for work in works[:: 1 - 2 * (turn % 2)]:
                work()
    named = {"harness": ours, "plain loop": field_}
    rows = [
        Row(f"{name}: {stage}", "s", laps.times[stage])
        for name, laps in named.items()
        for stage in STAGES
        if stage in laps.times
    ]
    sizes = Sizes.of(settings)
    reached = ", ".join(f"{name} {fmean(laps.top1):.1f} %" for name, laps in named.items())
    return Part(
        f"WMDD from files to a student: {len(data.train_labels):,} images, IPC {sizes.ipc}, "
        f"{sizes.iterations} iterations, {sizes.epochs} epochs",
        [*rows, *(Row(f"{name}, all of it", "s", laps.whole) for name, laps in named.items())],
        [
            Limit(
                "plain loop / harness", ratio(field_.whole, ours.whole, settings.device), least=2.5
            ),
            Limit(
                "plain loop / harness, whole evaluation",
                ratio(field_.times[STAGES[-1]], ours.times[STAGES[-1]], settings.device),
                least=2.0 if settings.device == "cpu" else 5.0,
            ),
            *_compare_accuracy(ours.top1, field_.top1),
        ],
        (
            f"Top-1 of the student, mean of {seeds} seeds: {reached}.",
            f"Noise is {NOISE_ERRORS} standard errors of the difference, {LEAST_NOISE:g} point at "
            "least.",
            f"The plain loop validates {VALIDATIONS} times, as the field does; the harness once.",
        ),
    )
