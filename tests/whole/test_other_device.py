"""Every method on a device that is not the CPU: no tensor is left behind, no number changes.

The device is a pretended one, so that this is seen without a GPU.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

from ddbench.registry import load
from ddbench.store.records import Records

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices in Python",
)
ROOT = Path(__file__).parents[2]
QUICK = ("wmdd", "dm", "rded")
OTHERS = sorted(set(load().names("recipe")) - set(QUICK))
SIZES = (
    "teacher.width=16",
    "student.width=16",
    "evaluate.epochs=1",
    "evaluate.max_updates=2",
)
FLAGS = (
    "-d", "digits", "--profile", "smoke", "--ipc", "2", "--seeds", "1", "--no-reference",
    "--precision", "fp32",
    *(word for size in SIZES for word in ("--set", size)),
)  # fmt: skip


@pytest.fixture
def on_both(ddbench: Callable[..., Any], tmp_path: Path) -> Callable[..., None]:
    """Runs a grid on the CPU and on the other device, and compares every metric."""

    def compare(*words: str, network: str = "convnet3_bn") -> None:
        flags = ["run", *FLAGS, "--teacher", network, "--arch", network, *words]
        assert ddbench(*flags, "--device", "cpu", "--cache", tmp_path / "here").code == 0
        command = [sys.executable, "-m", "tests.doubles.pretended_device", *flags]
        done = subprocess.run(
            [*command, "--cache", str(tmp_path / "there")], cwd=ROOT, capture_output=True, text=True
        )
        expected, found = (
            {(r.method, r.labels): r for r in Records(tmp_path / place / "records").all()}
            for place in ("here", "there")
        )
        assert {name: r.reason for name, r in found.items() if r.status != "ok"} == {}
        assert done.returncode == 0, done.stderr
        assert expected.keys() == found.keys()
        for name, record in expected.items():
            for metric, value in record.metrics[0].items():
                there = found[name].metrics[0][metric]
                assert there == pytest.approx(value, rel=1e-3, abs=0.5), (name, metric)

    return compare


def test_methods_of_each_family_run_on_another_device(on_both):
    on_both("--method", ",".join(QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHERS)
def test_a_method_runs_on_another_device(method, on_both):
    # Trajectories of weights leave out running statistics: MTT refuses BatchNorm. At M3D's rate
    # rounding grows to the size of the pixels within ten iterations, not within two.
    few = ("--set", "recover.iterations=2") if method == "m3d" else ()
    on_both("--method", method, *few, network="convnet3" if method == "mtt" else "convnet3_bn")


@pytest.mark.slow
def test_labels_and_evaluators_on_another_device(on_both):
    names = ",".join(sorted(load().names("evaluator")))
    on_both("--method", "random", "--labels", "hard,soft,mse_gt", "--evaluator", names)


LEFT_BEHIND = """
import torch
from tests.doubles.pretended_device import pretended

def refused(work, kinds, words):
    try:
        work()
    except kinds as fault:
        assert words in str(fault), fault
    else:
        raise AssertionError(words)

with pretended() as device:
    there, here = torch.ones(2, 3, device=device), torch.ones(2, 3)
    refused(lambda: there + here, RuntimeError, "two devices")
    refused(lambda: torch.cat([there, here]), RuntimeError, "two devices")
    refused(lambda: here[there > 0], RuntimeError, "two devices")
    refused(lambda: torch.randn(2, device=device, generator=torch.Generator()), RuntimeError, "cpu")
    refused(lambda: there.numpy(), (RuntimeError, TypeError), "")
    assert (there * torch.tensor(2.0)).device == torch.device(device)
    assert torch.equal((there + here.to(device)).cpu(), here * 2)
"""


def test_what_is_left_on_the_cpu_is_found():
    subprocess.run([sys.executable, "-c", LEFT_BEHIND], cwd=ROOT, check=True)
