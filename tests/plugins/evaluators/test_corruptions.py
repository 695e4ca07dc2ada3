"""Corruptions against Pillow and cases known by hand, and the student that is judged on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.scoring import LentTrial
from ddbench.testing import tiny_info, tiny_trial
from ddbench_plugins.evaluators.corruptions import NAMES, Corruptions


def trial_of(logits, labels, **extras):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, extras)


def spoilt(images, name, **options):
    return Corruptions(**options).corrupt(images, name, torch.Generator().manual_seed(0))


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(1)).to(
        torch.uint8
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pixels", [8, 32])
def test_spoilt_images_are_images_and_the_same_every_time(images, name, channels, pixels):
    images = images[:, :channels, :pixels, :pixels]
    kept, found = images.clone(), spoilt(images, name)
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    assert torch.equal(images, kept)
    assert torch.equal(found, spoilt(images, name))
    without_effect = name == "blur" and pixels == 8  # an eighth of a pixel
    assert torch.equal(found, images) is without_effect


def test_noise_has_the_standard_deviation_that_was_asked_for():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    assert (spoilt(grey, "noise", noise=0.1).float() / 255).std().item() == pytest.approx(
        0.1, rel=0.02
    )
    assert torch.equal(spoilt(grey, "noise", noise=0.0), grey)


def test_contrast_shrinks_differences_to_the_mean():
    half = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    half[..., 4:] = 200
    found = spoilt(half, "contrast", contrast=0.25)
    assert sorted(set(found.flatten().tolist())) == pytest.approx([75, 125], abs=1)


def test_blur_spreads_a_point_as_a_gaussian():
    point = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    point[..., 16, 16] = 255
    found = spoilt(point, "blur", blur=1 / 33)[0, 0, 16].float()
    assert (found[17] / found[16]).item() == pytest.approx(math.exp(-0.5), abs=0.05)


@pytest.mark.parametrize("size", [(1, 40), (2, 40), (40, 2)])
def test_blur_takes_images_of_any_shape(size):
    flat = torch.full((2, 3, *size), 77, dtype=torch.uint8)
    assert torch.equal(spoilt(flat, "blur"), flat)


def test_jpeg_is_that_of_pillow(images, tmp_path):
    array = images[0].permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=20)
    theirs = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.array_equal(spoilt(images[:1], "jpeg")[0].permute(1, 2, 0).numpy(), theirs)


def test_the_student_is_judged_on_each_kind_and_in_the_mean():
    """A student that knows the class by brightness: contrast blinds it, the rest does not."""
    images = torch.zeros(40, 1, 16, 16, dtype=torch.uint8)
    images[20:] = 200
    labels = torch.arange(2).repeat_interleave(20)

    def brightness(shown):
        return torch.stack([torch.full((len(shown),), 0.4), shown.float().mean((1, 2, 3)) / 255], 1)

    trial = trial_of(torch.zeros(40, 2), labels, student=brightness, test_images=lambda: images)
    found = Corruptions().evaluate(trial)
    assert found["corrupted_jpeg"] == found["corrupted_blur"] == found["corrupted_noise"] == 100
    kinds = [found[f"corrupted_{name}"] for name in NAMES]
    assert found["corrupted"] == pytest.approx(sum(kinds) / 4)
    never = trial_of(torch.zeros(40, 2), 1 - labels, student=brightness, test_images=lambda: images)
    assert Corruptions().evaluate(never)["corrupted"] == 0


def test_corruptions_refuse_what_they_cannot_do():
    with pytest.raises(IncompatibleError, match="not of 4"):
        Corruptions().evaluate(tiny_trial(tiny_info(channels=4)))
    with pytest.raises(DDBenchError, match="quality is 0"):
        Corruptions(quality=0).evaluate(tiny_trial())
    with pytest.raises(DDBenchError, match="asks a trial for more than it needs"):
        Corruptions().evaluate(trial_of(torch.eye(2), torch.arange(2)))
