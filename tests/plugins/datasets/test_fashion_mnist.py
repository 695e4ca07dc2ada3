"""Fashion-MNIST: places, idx files, fingerprint, and what is said when wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets import fashion_mnist
from ddbench_plugins.datasets.fashion_mnist import FashionMnist, read_idx
from tests.doubles.image_files import read_all


def write_idx(path: Path, array: np.ndarray, zipped: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


def small_fashion(base: Path, zipped: bool = False) -> None:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(base / f"{prefix}-images-idx3-ubyte", images, zipped)
        labels = np.arange(count, dtype=np.uint8) % 10
        write_idx(base / f"{prefix}-labels-idx1-ubyte", labels, zipped)


def test_fashion_mnist_from_either_place_plain_or_zipped(tmp_path: Path):
    small_fashion(tmp_path / "a" / "fashion_mnist", zipped=True)
    small_fashion(tmp_path / "b" / "FashionMNIST" / "raw")
    first, second = FashionMnist().info(tmp_path / "a"), FashionMnist().info(tmp_path / "b")
    assert first == second
    assert first.shape == (1, 28, 28)
    assert first.train_counts == (4,) * 10
    images, labels = read_all(FashionMnist(), "test", tmp_path / "b")
    assert images.shape == (20, 1, 28, 28)
    assert labels.tolist() == list(range(10)) * 2
    assert FashionMnist().verify(tmp_path / "a")[0].endswith("has 4 training images, expected 6000")


def test_fashion_mnist_fingerprint_is_of_the_pixels(tmp_path: Path):
    small_fashion(tmp_path / "fashion_mnist")
    before = FashionMnist().info(tmp_path).fingerprint
    path = tmp_path / "fashion_mnist" / "t10k-images-idx3-ubyte"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    assert FashionMnist().info(tmp_path).fingerprint != before


def test_fashion_mnist_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    with pytest.raises(DDBenchError) as caught:
        FashionMnist().info(None)
    assert "apt-get install dataset-fashion-mnist" in str(caught.value)
    small_fashion(tmp_path / "fashion_mnist")
    (tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DDBenchError, match="lacks the file t10k-labels-idx1-ubyte"):
        FashionMnist().info(tmp_path)
    write_idx(tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DDBenchError, match="does not hold Fashion-MNIST"):
        FashionMnist().info(tmp_path)
    (tmp_path / "cut").write_bytes(b"\0\0\x08\x03\0\0\0\x09")
    with pytest.raises(DDBenchError, match="cannot read the idx file"):
        read_idx(tmp_path / "cut")


def test_fashion_mnist_of_debian():
    if not fashion_mnist.DEBIAN.is_dir():
        pytest.skip(f"no {fashion_mnist.DEBIAN} (Debian package dataset-fashion-mnist)")
    assert FashionMnist().verify(None) == []
    images, labels = next(iter(FashionMnist(resolution=32).read("test", None)))
    assert images.shape == (256, 1, 32, 32)
    assert labels[:4].tolist() == [9, 2, 1, 1]
