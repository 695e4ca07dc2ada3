"""A small Imagenette."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench_plugins.datasets.imagenet import IMAGENETTE_TITLES
from tests.doubles.image_files import lay_out


@pytest.fixture
def nette(tmp_path: Path) -> Path:
    """Imagenette with 3 training and 2 validation images a class; the data root."""
    base = tmp_path / "imagenette"
    lay_out(base, IMAGENETTE_TITLES, {"train": 3, "val": 2}, suffix="JPEG", size=(20, 16))
    return tmp_path
