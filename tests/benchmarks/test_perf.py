"""The performance benchmark runs, and its plain loops compute what the harness computes.

No time is looked at: a busy machine would decide the test.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.perf import __main__ as command
from benchmarks.perf import compiled, growth, pipeline, plot
from benchmarks.perf import recover as part
from benchmarks.perf.alone import Peak
from benchmarks.perf.plain.passes import PlainPasses
from benchmarks.perf.plain.recover import PlainRecover
from benchmarks.perf.report import Limit
from benchmarks.perf.statistics import write_files
from benchmarks.perf.timing import Timing, ratio
from benchmarks.perf.world import Settings, copy_contiguous
from ddbench.api.types import Network
from ddbench.nn.probe import Probe
from ddbench.pipeline.stages.problem import RecoverProblem, Taught, Term
from ddbench.runtime.context import Context
from ddbench.training.batches import normalise
from ddbench_plugins.matchers.wasserstein import Wasserstein

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(quick=True, batch=20)


@pytest.fixture(scope="module")
def scene() -> part.Scene:
    return part.make_scene(SETTINGS)


def test_the_command_writes_a_whole_report(tmp_path: Path) -> None:
    parts = ["recover", "statistics", "barycenters", "student", "convnet", "pipeline"]
    words = ["--quick", "--only", ",".join(parts), "-o", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.perf", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert len(found["parts"]) == len(parts)
    for section in found["parts"]:
        assert section["limits"]
        assert all(row["wall"] for row in section["rows"])
    assert "harness / floor" in (tmp_path / "results.md").read_text()


@pytest.mark.slow
def test_compiled_iterations_are_measured() -> None:
    found = compiled.measure(Settings(quick=True, batch=10, resolution=16))
    assert all(row.timing.wall for row in found.rows)
    assert len(found.limits) == 2


def test_growth_is_measured_along_every_axis_and_drawn(tmp_path, monkeypatch) -> None:
    """Peaks are of new processes, which are left out here."""
    asked: list[Settings] = []

    def alone(part: str, variant: str, settings: Settings) -> Peak:
        asked.append(settings)
        return Peak(2_000, 1_000, 1)

    monkeypatch.setattr(growth, "run_alone", alone)
    found = growth.measure(Settings(quick=True, batch=10, resolution=16))
    assert {(s.ipc, s.classes, s.resolution, s.width) for s in asked} == {
        (1, 10, 16, 0), (10, 10, 16, 0), (1, 100, 16, 0), (2, 10, 32, 0), (2, 10, 64, 0),
        (0, 10, 32, 32), (0, 10, 32, 64),
    }  # fmt: skip
    assert [curve.axis for curve in found.curves] == list(growth.AXES)
    assert all(row.timing.wall for row in found.rows)
    assert sum(limit.value == 1.0 for limit in found.limits) == len(growth.AXES)  # of memory
    assert {path.suffix for path in plot.draw(found.curves, tmp_path)} == {".svg", ".pdf", ".png"}


def test_students_that_are_worse_beyond_noise_are_told() -> None:
    (spoilt,) = pipeline._compare_accuracy([13.0, 14.0, 12.0], [34.0, 33.0, 35.0])
    assert spoilt.value == pytest.approx(-21)
    assert not spoilt.held
    (alike,) = pipeline._compare_accuracy([33.0, 35.0, 31.0], [34.0, 33.0, 35.0])
    assert alike.value == pytest.approx(-1)
    assert alike.least == pytest.approx(-2 * (4 / 3 + 1 / 3) ** 0.5)
    assert alike.held
    assert pipeline._compare_accuracy([33.0], [34.0]) == []


def test_a_report_does_not_say_where_it_was_written() -> None:
    words = ["--only", "recover", "-o", "/some/where", "--quick", "--output", "x", "--output=y"]
    assert command.join_command(words) == "python -m benchmarks.perf --only recover --quick"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "recovery"], "recovery"),
        (["--images", "nowhere"], "no folder nowhere"),
        (["--batch", "15"], "multiple of 10"),
        (["--device", "toaster"], "unknown device 'toaster'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(words: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.perf", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))},
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def objectives(scene: part.Scene, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Loss and gradient in the images: of the harness, and of the plain loop."""
    network = Network(copy.deepcopy(scene.network.module).to(dtype), scene.network.classifier)
    moments = {name: found.to(dtype) for name, found in scene.moments.items()}
    atoms = scene.atoms.points.to(dtype)
    labels = torch.arange(SETTINGS.classes).repeat_interleave(SETTINGS.each)
    images = normalise(scene.data.train_images[: len(atoms)], scene.data.info).to(dtype)
    matcher = Wasserstein(norm="l2")
    with Probe(network, (*matcher.taps(network), *part.PCBN.taps(network)), Context()) as probe:
        known = {part.PCBN.moments: moments}
        taught = Taught(network, probe, [Term(1.0, matcher, atoms)], known)
        problem = RecoverProblem(
            info=scene.data.info, labels=labels, weights=scene.atoms.weights, device="cpu",
            seed=0, data=scene.data, taught=[taught], regularizers=[(part.STRENGTH, part.PCBN)],
        )  # fmt: skip
        ours = images.clone().requires_grad_(True)
        loss = problem.objective(ours, torch.arange(len(atoms)), 0.0)
        found = [loss.detach(), *torch.autograd.grad(loss, [ours])]
    module = copy_contiguous(scene.network, SETTINGS).to(dtype)
    loop = PlainRecover(module, moments, atoms, labels, scene.data.info, part.STRENGTH)
    theirs = images.contiguous().requires_grad_(True)
    expected = loop.objective(theirs)
    return found, [expected.detach(), *torch.autograd.grad(expected, [theirs])]


def test_the_plain_loop_has_the_harness_objective(scene: part.Scene) -> None:
    """Loss to 1e-5 in fp32. The gradient in float64: in fp32 the two layouts round differently,
    and which of two nearly equal values a max-pool takes is decided by that."""
    (loss, _), (expected, _) = objectives(scene, torch.float32)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    (loss, gradient), (expected, wanted) = objectives(scene, torch.float64)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    assert (gradient - wanted).norm() <= 1e-6 * wanted.norm()


def test_the_plain_passes_find_features_and_moments_of_files(scene: part.Scene) -> None:
    """Of JPEG files, hence only nearly those of the images; a class of one batch."""
    with tempfile.TemporaryDirectory() as place:
        write_files(scene.data, Path(place))
        module = copy_contiguous(scene.network, SETTINGS)
        passes = PlainPasses(module, Path(place) / "train", scene.data.info, 100)
        features, moments = passes.features(), passes.moments()
    assert [len(found) for found in features] == list(scene.data.info.train_counts)
    assert moments.keys() == {name for name in scene.moments if name != "count"}
    gap = moments["bn1.mean"] - scene.moments["bn1.mean"]
    assert gap.norm() < 0.1 * scene.moments["bn1.mean"].norm()


def test_ratios_are_medians_within_repeats() -> None:
    one, other = Timing([2.0, 9.0, 4.0], [1.0, 1.0, 1.0]), Timing([1.0, 3.0, 1.0], [1.0, 2.0, 4.0])
    assert ratio(one, other, "cuda") == 3.0
    assert ratio(one, other, "cpu") == 0.5


@pytest.mark.parametrize(
    ("limit", "held"),
    [
        (Limit("", 1.2, most=1.25, goal=1.0), True),
        (Limit("", 1.3, most=1.25), False),
        (Limit("", 2.0, least=2.0), True),
        (Limit("", 1.9, least=2.0), False),
    ],
)
def test_a_promise_is_held_or_not(limit: Limit, held: bool) -> None:
    assert limit.held is held
