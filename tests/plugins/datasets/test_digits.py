"""Digits: the split, the constants, the fingerprint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddbench_plugins.datasets.digits import Digits
from tests.doubles.image_files import read_all


def test_digits_split_is_disjoint_and_stratified():
    from sklearn.datasets import load_digits

    info = Digits().info(None)
    (train, y), (test, z) = read_all(Digits(), "train", None), read_all(Digits(), "test", None)
    assert len(y) + len(z) == 1797
    both = torch.cat([train, test]).flatten(1).numpy()
    whole = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, whole))  # each image once
    for counts, labels in ((info.train_counts, y), (info.test_counts, z)):
        assert tuple(labels.bincount().tolist()) == counts
    parts = [b / (a + b) for a, b in zip(info.train_counts, info.test_counts, strict=True)]
    assert max(abs(p - 0.2) for p in parts) < 0.01
    assert not info.mirror
    assert info.classes == tuple("0123456789")
    assert info.shape == (1, 8, 8)


def test_digits_constants_are_those_of_the_training_part():
    images, _ = read_all(Digits(), "train", None)
    info = Digits().info(None)
    assert info.mean[0] == pytest.approx((images / 255).mean().item(), abs=1e-4)
    assert info.std[0] == pytest.approx((images / 255).std().item(), abs=2e-4)
    assert images.max() == 255


def test_digits_at_another_resolution():
    part = Digits(resolution=16)
    images, labels = read_all(part, "test", None)
    assert part.info(None).name == "digits@16"
    assert part.info(None).fingerprint == Digits().info(None).fingerprint
    assert Digits(resolution=8).info(None).name == "digits"
    assert images.shape == (len(labels), 1, 16, 16)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert all(len(chunk) <= 256 for chunk, _ in part.read("train", None))


def test_digits_fingerprint_never_changes():
    assert Digits().info(None).fingerprint.startswith("f8157065317ba0c7")
