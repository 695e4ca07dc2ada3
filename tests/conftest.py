"""Fixtures: a registry built fresh, tiny real data, a cache of its own. CPU only, no network."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
import torch

from ddbench.cache import Cache
from ddbench.context import Context
from ddbench.registry import Registry, load
from ddbench.types import DatasetInfo

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
