"""ZCA whitening: students, and the test images that judge them, by the training statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.linalg
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Training
from ddbench.data.real import RealData, load_whitening
from ddbench.data.whitening import fit
from ddbench.pipeline.specs import Evaluate, data_key
from ddbench.pipeline.stages.evaluate import evaluate
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.training.batches import Stream
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.labellers.hard import Hard
from tests.whole.test_bad_input import refused

CPU = ["--device", "cpu", "--precision", "fp32"]
HARD = ["--method", "random", "--ipc", 3, "--labels", "hard"]


@pytest.fixture
def images() -> torch.Tensor:
    """Bytes of 5,000 images of 12 numbers that go together; more than one chunk."""
    rng = torch.Generator().manual_seed(0)
    mixed = torch.randn(5000, 12, generator=rng) @ torch.randn(12, 12, generator=rng)
    return (128 + 20 * mixed).clamp(0, 255).to(torch.uint8).view(-1, 3, 2, 2)


def test_the_matrix_is_the_inverse_root_of_the_covariance(images: torch.Tensor) -> None:
    """(C + ε I)^(-1/2) by scipy's Schur method."""
    found = fit(images, 0.1)
    flat = images.flatten(1).double() / 255
    covariance = torch.cov(flat.T) + 0.1 * torch.eye(12)
    root = torch.from_numpy(scipy.linalg.sqrtm(covariance.numpy()))
    torch.testing.assert_close(found.matrix.double(), torch.linalg.inv(root), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.inverse.double(), root, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.mean.double(), flat.mean(0), rtol=0, atol=1e-7)


def test_whitened_images_have_mean_zero_and_covariance_one(images: torch.Tensor) -> None:
    whitened = fit(images, 1e-9).apply(images).flatten(1).double()
    torch.testing.assert_close(whitened.mean(0), torch.zeros(12).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.cov(whitened.T), torch.eye(12).double(), rtol=0, atol=1e-3)


def test_it_can_be_undone_and_bytes_are_floats_of_white_one(images: torch.Tensor) -> None:
    found = fit(images, 0.1)
    torch.testing.assert_close(found.undo(found.apply(images)), images / 255, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.apply(images / 255), found.apply(images))


def test_images_that_are_too_large_are_refused() -> None:
    with pytest.raises(DDBenchError, match="a matrix of 150528 x 150528"):
        fit(torch.zeros(2, 3, 224, 224, dtype=torch.uint8), 0.1)


def test_students_see_whitened_images_and_are_judged_on_them(info: Any, cache: Cache) -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(256, (40, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(40) % 3
    data = RealData(info, real, labels, real[:6], labels[:6])
    whitening = load_whitening(data, 0.1, cache, Context())
    assert torch.equal(load_whitening(data, 0.1, cache, Context()).matrix, whitening.matrix)
    assert [stage for stage, _, _ in cache.entries()] == ["whitening"]
    plain = Augmentation(crop=(1.0, 1.0), flip=False, mix="none")
    stream = Stream(
        images=real[:9], labels=labels[:9], weights=torch.ones(9), info=info, augmentation=plain,
        batch_size=9, seed=0, whitening=whitening,
    )  # fmt: skip
    (batch,) = stream.epoch(0)
    torch.testing.assert_close(batch.images, whitening.apply(real[:9])[batch.indices])
    spec = Evaluate(
        data=data_key(info), student=ConvNetD(depth=1, width=4, norm="batch"), labeller=Hard(),
        training=Training(epochs=2, batch_size=9, lr=0.01, augmentation=plain), holdout=0.0,
        holdout_every=0, seed=0, run=0, precision="fp32", zca=0.1,
    )  # fmt: skip
    (student,) = evaluate([spec], data, stream, [], None, Context())
    with torch.no_grad():
        expected = student.module(whitening.apply(real[:6]))
    torch.testing.assert_close(student.trial.logits, expected)
    (held,) = evaluate([replace(spec, holdout=0.4, holdout_every=1)], data, stream, [], None,
                       Context())  # fmt: skip
    assert held.fault is None


def test_a_whitened_set_is_judged_as_the_set_that_was_whitened(
    ddbench: Callable[..., Any], alone: list[Any], tmp_path: Path
) -> None:
    """The same numbers for a run under whitening and for its images as MTT's code hands them on."""
    flags = [*alone[:4], "--seeds", 1, *CPU]  # students of full width: no card tells of another
    assert ddbench("run", *HARD, "--no-reference", "--set", "evaluate.zca=0.1", *flags).code == 0
    (run,) = [r for r in Records(tmp_path / "cache" / "records").all() if r.method == "random"]
    assert run.configuration["protocol"][1]["zca"] == 0.1
    done = ddbench("export", run.key, tmp_path / "plain", "--no-images")
    assert done.code == 0, done.err
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "plain" / "tensors.safetensors")
    store = Cache(tmp_path / "cache")
    (key,) = [key for stage, key, _ in store.entries() if stage == "whitening"]
    kept = store.load("whitening", key).tensors()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    flat = tensors["images"].flatten(1) / 255 - kept["mean"]
    whitened = (flat @ kept["matrix"]).view(tensors["images"].shape)
    torch.save(whitened, theirs / "images_best.pt")
    torch.save(tensors["labels"], theirs / "labels_best.pt")
    done = ddbench("eval", theirs, *flags, "--dataset", "digits", "--labels", "hard",
                   "--pixels", "whitened", "--cache", tmp_path / "judged")  # fmt: skip
    assert done.code == 0, done.err
    (again,) = Records(tmp_path / "judged" / "records").all()
    assert again.given == {"evaluate.zca": "0.1"}
    for metric, value in run.metrics[0].items():
        assert again.metrics[0][metric] == pytest.approx(value, abs=0.3), metric
    assert ddbench("run", *HARD, "--no-reference", *flags, "--cache", tmp_path / "not").code == 0
    (other,) = Records(tmp_path / "not" / "records").all()
    assert "zca" not in other.configuration["protocol"][1]  # keys of before stay as they were
    assert abs(other.metric("top5") - run.metric("top5")) > 0.3


def test_whitening_and_what_does_not_go_with_it(
    ddbench: Callable[..., Any], tiny: list[Any]
) -> None:
    run = ["run", "--method", "random", "--ipc", 1, *tiny]
    asked = ddbench(*run, "--labels", "fkd", "--set", "evaluate.zca=0.1")
    refused(asked, "students of whitened images cannot have labels of augmented views")
    refused(ddbench(*run, "--labels", "hard", "--set", "evaluate.zca=-1"), "evaluate: zca is -1.0")
