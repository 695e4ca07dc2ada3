"""Coverage, calibration and corruptions against brute force, other libraries and known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import DatasetInfo, FeatureSample
from ddbench.pipeline.scoring import LentTrial
from ddbench.testing import tiny_info, tiny_trial
from ddbench_plugins.evaluators.calibration import Calibration
from ddbench_plugins.evaluators.corruptions import NAMES, Corruptions
from ddbench_plugins.evaluators.coverage import Coverage, coverage_and_density


def trial_of(logits, labels, **extras):
    classes = tuple(f"class {cls}" for cls in range(logits.shape[1]))
    counts = (1,) * len(classes)
    info = DatasetInfo("toy", classes, (1, 2, 2), (0.0,), (1.0,), counts, counts, "")
    return LentTrial(logits, labels, info, 0, extras)


# -- coverage and density --------------------------------------------------------------------------


def by_loops(made, real, k):
    """Eq. 3 and 4 of the paper, one pair of points after the other."""
    covered = lain_in = 0
    for i, centre in enumerate(real):
        others = sorted(math.dist(centre, other) for j, other in enumerate(real) if j != i)
        inside = others[k - 1] * (1 - 1e-4)  # less its surface
        hits = sum(math.dist(centre, point) < inside for point in made)
        covered += hits > 0
        lain_in += hits
    return covered / len(real), lain_in / (k * len(made))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 9), st.integers(1, 3))
@example(158, 2, 9, 3)  # a point in the surface of a ball
def test_coverage_and_density_are_those_of_brute_force(seed, k, images, dimensions):
    rng = np.random.default_rng(seed)
    real, made = rng.normal(size=(12, dimensions)), 1.3 * rng.normal(size=(images, dimensions))
    found = coverage_and_density(torch.tensor(made), torch.tensor(real), k)
    assert found == pytest.approx(by_loops(made.tolist(), real.tolist(), k), abs=1e-12)


def test_balls_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    real, made = rng.normal(size=(200, 8)), rng.normal(size=(40, 8))
    distances, _ = NearestNeighbors(n_neighbors=6).fit(real).kneighbors(real)  # itself first
    inside = np.linalg.norm(real[:, None] - made, axis=2) < distances[:, -1:]
    found = coverage_and_density(torch.tensor(made), torch.tensor(real), 5)
    assert found == pytest.approx((inside.any(1).mean(), inside.sum() / (5 * 40)))


def test_coverage_by_hand():
    """Real at 0, 1, 3: balls of radius 1, 1, 2. An image at 0.5 is in two of them, at 9 in none."""
    real = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert coverage_and_density(real.new_tensor([[0.5]]), real, 1) == pytest.approx((2 / 3, 2.0))
    assert coverage_and_density(real.new_tensor([[9.0]]), real, 1) == (0, 0)
    two = real.new_tensor([[0.5], [9.0]])
    assert coverage_and_density(two, real, 1) == pytest.approx((2 / 3, 1.0))


def test_a_neighbour_on_the_surface_is_outside_whatever_the_rounding():
    real = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    for shift in (-1e-6, 0.0, 1e-6):
        # The image is the real one at 1: in its own ball and, at distance 1 and 2, on two surfaces.
        assert coverage_and_density(real[1:2] + shift, real, 1) == pytest.approx((1 / 3, 1.0))


def sample(real, made):
    classes = torch.arange(2).repeat_interleave(len(real[0]))
    of_made = torch.arange(2).repeat_interleave(len(made[0]))
    weights = torch.full((len(of_made),), 1 / len(made[0]))
    return FeatureSample(torch.cat(real), classes, torch.cat(made), of_made, weights)


def test_all_real_images_cover_everything_and_images_of_another_class_nothing():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(20, 4, generator=rng), 50 + torch.randn(20, 4, generator=rng)

    def found(made):
        trial = trial_of(torch.zeros(1, 2), torch.zeros(1).long(),
                         features=lambda: sample([a, b], made))  # fmt: skip
        return Coverage().evaluate(trial)

    assert found([a, b])["coverage"] == 1
    assert found([a, b])["density"] == pytest.approx(0.9, abs=0.15)
    assert found([b, a]) == {"coverage": 0, "density": 0}
    assert 0 < found([a[:1], b[:1]])["coverage"] < 0.6


def test_too_few_real_images_for_the_neighbours_are_one_sentence():
    trial = tiny_trial()
    with pytest.raises(DDBenchError, match="6 real and 2 distilled"):
        Coverage(neighbours=6).evaluate(trial)
    with pytest.raises(DDBenchError, match="neighbours is 0"):
        Coverage(neighbours=0).evaluate(trial)
    with pytest.raises(DDBenchError, match="asks a trial for more than it needs"):
        Coverage().evaluate(trial_of(torch.eye(2), torch.arange(2)))


# -- calibration -----------------------------------------------------------------------------------


def ece_by_loops(logits, labels, bins):
    sure, guess = logits.double().softmax(1).max(1)
    gap = 0.0
    for low in range(bins):
        here = [i for i, p in enumerate(sure.tolist()) if low <= p * bins < low + 1]
        if here:
            right = sum(int(guess[i] == labels[i]) for i in here) / len(here)
            gap += len(here) / len(labels) * abs(right - sure[here].mean().item())
    return 100 * gap


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 20), st.floats(0.1, 5))
def test_calibration_is_that_of_brute_force(seed, classes, bins, scale):
    rng = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(60, classes, generator=rng)
    labels = torch.randint(0, classes, (60,), generator=rng)
    found = Calibration(bins=bins).evaluate(trial_of(logits, labels))["ece"]
    assert found == pytest.approx(ece_by_loops(logits, labels, bins), abs=1e-4)
    assert 0 <= found <= 100


def test_calibration_by_hand():
    """Sure by 0.8 and right three times of four: off by 0.05. All wrong: off by 0.8."""
    logits = torch.tensor([0.8, 0.2]).log().repeat(4, 1)
    assert Calibration().evaluate(trial_of(logits, torch.tensor([0, 0, 0, 1])))["ece"] == (
        pytest.approx(5, abs=1e-4)
    )
    assert Calibration().evaluate(trial_of(logits, torch.ones(4).long()))["ece"] == (
        pytest.approx(80, abs=1e-4)
    )


def test_a_confidence_of_one_is_in_the_last_bin():
    """Half is sure by 1 and right nine times of ten, half by 0.95 and always right: one bin."""
    logits = torch.tensor([[100.0, 0.0]] * 10 + [[math.log(0.95), math.log(0.05)]] * 10)
    labels = torch.tensor([0] * 9 + [1] + [0] * 10)
    found = Calibration().evaluate(trial_of(logits, labels))["ece"]
    assert found == pytest.approx(2.5, abs=1e-4)


def test_logits_between_0_and_1_are_logits():
    logits = torch.tensor([[1.0, 0.0]])  # a probability of 0.731, not of 1
    found = Calibration().evaluate(trial_of(logits, torch.tensor([0])))["ece"]
    assert found == pytest.approx(100 * (1 - 1 / (1 + math.exp(-1))), abs=1e-4)


# -- corruptions -----------------------------------------------------------------------------------


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
