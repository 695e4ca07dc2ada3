"""Where and how stages run: device, precision, progress. Only precision changes numbers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from ddbench.api.errors import DDBenchError, unknown
from ddbench.runtime.progress import NoProgress, Progress

Precision = Literal["fp32", "bf16"]
_DEVICES = Path("/dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Device, precision and reporting, which every stage is handed beside its specification."""

    device: str = "cpu"
    precision: Precision = "fp32"
    progress: Progress = field(default_factory=NoProgress)
    data_root: Path | None = None
    compile: bool = False
    """Whether recover iterations go through `torch.compile`: the same numbers but for rounding."""
    checkpoint: bool = False
    """Whether recover iterations compute activations again instead of keeping them."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Returns a context with bfloat16 convolutions and products where the precision is bf16."""
        kind = self.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16")


def choose_device(wanted: str) -> str:
    """Returns the device that `auto`, `cpu`, `cuda` (or `cuda:1`) or `mps` stands for here.

    Raises:
        DDBenchError: no such device, or it is not here.
    """
    if wanted == "cpu" or (wanted == "auto" and not _shows_accelerator()):
        return "cpu"
    kind, best = wanted.partition(":")[0], "--device auto takes the best there is"
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if counts[name])
    if kind not in counts:
        if kind == "gpu":  # nearer to 'cpu' by its letters
            best = f"did you mean '{wanted.replace('gpu', 'cuda')}'?"
            raise DDBenchError(
                f"unknown device '{wanted}'", "known: auto, cpu, cuda, mps", hint=best
            )
        raise unknown("device", wanted, ("auto", *counts), hint=best)
    names = [f"{kind}:{number}" for number in range(counts[kind])]
    if not names:
        names = [name for name in counts if counts[name]]
    elif wanted in (kind, *names):
        return wanted if kind == "cuda" else kind
    elif kind == "cuda":
        best = "CUDA_VISIBLE_DEVICES hides GPUs and numbers those that are left from 0"
    else:
        best = f"--device {kind}"
    there = f"available: {', '.join(names)}"
    raise DDBenchError(f"device '{wanted}' is not available here", there, hint=best)


_DEVICE_FILES = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg", "kfd")
"""Files in /dev of accelerators: NVIDIA's drivers, Jetson's, those under WSL, AMD's."""


def _shows_accelerator() -> bool:
    """Tells whether torch has to be asked, which takes seconds; on Linux device files tell."""
    if not sys.platform.startswith("linux"):
        return True
    return any(any(_DEVICES.glob(name)) for name in _DEVICE_FILES)


def make_current(device: str) -> None:
    """Makes a GPU with a number the one that torch means where no number is given.

    Otherwise pinned memory and the name in the environment card would be the first GPU's.
    """
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)


def choose_precision(wanted: str, device: str) -> Precision:
    """Returns fp32 or bf16; `auto` takes bf16 where the hardware multiplies it natively.

    Raises:
        DDBenchError: no such precision.
    """
    if wanted not in ("auto", "fp32", "bf16"):
        raise unknown(
            "precision", wanted, ("auto", "fp32", "bf16"), hint="--precision auto suits the device"
        )
    if wanted == "auto":
        return "bf16" if _has_native_bf16(device) else "fp32"
    return "bf16" if wanted == "bf16" else "fp32"


def _has_native_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        flags = Path("/proc/cpuinfo")
        return flags.exists() and "avx512_bf16" in flags.read_text()
    return False


@contextlib.contextmanager
def use_seed(seed: int) -> Iterator[None]:
    """Seeds torch's global generators inside, and leaves them as they were; to build networks."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def use_seed_on(device: str, seed: int) -> Iterator[None]:
    """Does the same for the CPU and one device alone: cheap enough for every update."""
    own = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=own):
        torch.default_generator.manual_seed(seed)
        for gpu in own:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def wait_for(device: str) -> None:
    """Waits until an accelerator has finished; returns at once on a CPU."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def find_data_root(given: Path | None) -> Path | None:
    """Returns `--data-root`, else DDBENCH_DATA, else None."""
    if given is not None:
        return given
    named = os.environ.get("DDBENCH_DATA")
    return Path(named) if named else None
