"""Fixtures: a registry built fresh, tiny real data, a cache of its own. CPU only, no network."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ddbench.api.types import DatasetInfo
from ddbench.cli import main
from ddbench.registry import Registry, load
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def ctx() -> Context:
    return Context()


@pytest.fixture
def info() -> DatasetInfo:
    """Three classes of colour images of 16 pixels."""
    return DatasetInfo(
        name="three",
        classes=("a", "b", "c"),
        shape=(3, 16, 16),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        train_counts=(5, 6, 7),
        test_counts=(2, 2, 2),
        fingerprint="f",
    )


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def ddbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs a command in this process, with a cache of its own: `ddbench("run", "--ipc", "0")`."""
    monkeypatch.setenv("DDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DDBENCH_DATA", raising=False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ddbench", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        return Outcome(code, *capsys.readouterr())

    return run


TINY = """
name = "tiny"

[training]
epochs = 2
batch_size = 10
lr = 0.01

[training.augmentation]
crop = [0.6, 1.0]
mix = "cutmix"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> list[object]:
    """Flags of a grid that takes a second: a narrow teacher of one epoch, a student of two."""
    protocol = tmp_path / "tiny.toml"
    protocol.write_text(TINY)
    options = {
        "teacher.width": 16, "student.width": 16, "squeeze.epochs": 1, "squeeze.lr": 0.02,
        "squeeze.batch_size": 64,
    }  # fmt: skip
    return [
        "--teacher", "convnet3_bn", "--arch", "convnet3_bn", "--protocol", protocol,
        "--seeds", 1, "--device", "cpu", "--precision", "fp32",
        *(word for name, value in options.items() for word in ("--set", f"{name}={value}")),
    ]  # fmt: skip


@pytest.fixture
def alone(tiny: list[object]) -> list[object]:
    """The same for rows that no teacher has a part in: what is said of one would be refused."""
    pairs = [tiny[place : place + 2] for place in range(0, len(tiny), 2)]
    return [
        word
        for flag, value in pairs
        if flag != "--teacher" and not str(value).startswith(("squeeze.", "teacher."))
        for word in (flag, value)
    ]
