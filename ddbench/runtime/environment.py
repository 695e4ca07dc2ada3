"""The environment card: on what, and with which versions, a number was measured."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("ddbench", "torch", "torchvision", "POT", "scikit-learn", "numpy", "timm", "pluggy")


@functools.cache
def describe_environment() -> dict[str, Any]:
    """Returns hardware, versions and the state of the source tree, as JSON values.

    It says `"plain": true` only where ddbench's own kernels are off (`DDBENCH_PLAIN=1`).
    """
    import psutil
    import torch

    from ddbench.api.plain import use_plain_operations

    cuda = torch.cuda.is_available()
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cpu": _name_cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        **read_source_state(Path(__file__).resolve().parents[1]),
        **({"plain": True} if use_plain_operations() else {}),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _name_cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read_source_state(package: Path) -> dict[str, Any]:
    """Returns commit and dirty flag of the source tree that runs or that the wheel came from."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != package.resolve().parent:
        return _read_build(package)
    status = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _read_build(package: Path) -> dict[str, Any]:
    """Returns what the build wrote down (`build_commit.py`), if it was from a checkout."""
    try:
        return json.loads((package / "built_from.json").read_text())
    except (OSError, ValueError):
        return {"commit": None, "dirty": None}
