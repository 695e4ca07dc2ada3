"""Images of noise in files, for the tests of data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.api.roles import Dataset


def draw(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """Writes an image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def lay_out(
    base: Path, classes: Iterable[str], counts: Mapping[str, int], suffix: str = "png", **how: Any
) -> None:
    """Makes class folders: `counts` images of each class in each of its splits."""
    seed = 0
    for split, count in counts.items():
        for name in classes:
            for index in range(count):
                seed += 1
                draw(base / split / name / f"{index:03d}.{suffix}", seed, **how)


def read_all(
    dataset: Dataset, split: Literal["train", "test"], root: Path | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns all images and labels of a split."""
    chunks = list(dataset.read(split, root))
    return torch.cat([images for images, _ in chunks]), torch.cat([labels for _, labels in chunks])


def find_real_root(*names: str) -> Path:
    """Returns DDBENCH_DATA, or a skip that says what it lacks."""
    named = os.environ.get("DDBENCH_DATA", "")
    for name in names:
        if not named or not (Path(named) / name).is_dir():
            pytest.skip(f"DDBENCH_DATA={named or '(not set)'} does not hold {name}")
    return Path(named)
