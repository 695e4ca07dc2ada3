"""CIFAR: class folders, torchvision's files, downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddbench.api.errors import DDBenchError
from ddbench_plugins.datasets import cifar
from ddbench_plugins.datasets.cifar import CIFAR10, CIFAR100, Cifar
from tests.doubles.image_files import find_real_root, lay_out, read_all


def test_cifar_constants_and_classes():
    assert (len(CIFAR10), len(CIFAR100)) == (10, 100)
    assert tuple(sorted(CIFAR100)) == CIFAR100
    assert tuple(sorted(CIFAR10)) == CIFAR10


def test_cifar_from_class_folders(tmp_path: Path):
    lay_out(tmp_path / "cifar10", CIFAR10, {"train": 2, "test": 1}, size=(32, 32))
    info = Cifar(10).info(tmp_path)
    assert (info.name, info.classes, info.shape) == ("cifar10", CIFAR10, (3, 32, 32))
    assert info.mean == (0.4914, 0.4822, 0.4465)
    assert (info.train_counts, info.test_counts) == ((2,) * 10, (1,) * 10)
    images, labels = read_all(Cifar(10), "train", tmp_path)
    stored = np.asarray(Image.open(tmp_path / "cifar10/train/automobile/001.png"))
    assert labels.tolist() == [i // 2 for i in range(20)]
    np.testing.assert_array_equal(images[3].permute(1, 2, 0), stored)
    assert Cifar(10).verify(tmp_path)[0] == "class 'airplane' has 2 training images, expected 5000"
    assert Cifar(10).prepare(tmp_path) == [f"cifar10 is in {tmp_path / 'cifar10'}"]


def test_cifar_from_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = tmp_path / "cifar-10-batches-py"
    stored.mkdir()
    (stored / "data_batch_1").write_bytes(b"not a pickle")
    info = Cifar(10).info(tmp_path)
    assert info.train_counts == (5000,) * 10
    with pytest.raises(DDBenchError, match="data set 'cifar10' is damaged"):
        next(Cifar(10).read("train", tmp_path))
    assert "is damaged" in Cifar(10).verify(tmp_path)[0]
    (stored / "data_batch_1").write_bytes(b"neither")
    assert Cifar(10).info(tmp_path).fingerprint != info.fingerprint


def test_cifar_images_in_torchvisions_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cifar-100-python").mkdir()

    class Source:
        classes = CIFAR100

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert not download
            rng = np.random.default_rng(int(train))
            self.data = rng.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
            self.targets = list(range(99, -1, -1)) * 3

    monkeypatch.setattr(cifar, "_load_source", lambda facts: Source)
    images, labels = read_all(Cifar(100), "train", tmp_path)
    expected = Source(tmp_path, True, False)
    assert labels.tolist() == expected.targets
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), expected.data)
    assert images.is_contiguous()
    smaller, _ = read_all(Cifar(100, resolution=16), "train", tmp_path)
    halved = images.float().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    assert (smaller.float() - halved).abs().max() <= 1.01
    assert Cifar(100).verify(tmp_path) == []


def test_download_that_fails_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def offline(*args: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(cifar, "_load_source", lambda facts: offline)
    with pytest.raises(DDBenchError, match="could not download data set 'cifar10'") as caught:
        Cifar(10).prepare(tmp_path, download=True)
    assert "no route to host" in str(caught.value)


def test_real_cifar10():
    root = find_real_root("cifar10")
    assert Cifar(10).verify(root) == []
    images, labels = next(Cifar(10).read("test", root))
    assert images.shape == (256, 3, 32, 32)
    assert set(labels.tolist()) == {0}
