"""RDED: mosaics, ranking, and what a hand-made teacher makes of it; a run on real digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Activations
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing.fakes import TinyProblem, tiny_info
from ddbench_plugins.distillers.rded import RDED, rank_patches, tile

WHOLE = (1.0, 1.0)


class Brightness:
    """A teacher whose logit of a class is the mean brightness, and of the others 0."""

    def __init__(self, cls: int) -> None:
        self.cls = cls
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> Activations:
        self.seen.append(images)
        logits = torch.zeros(len(images), 3)
        logits[:, self.cls] = images.mean((1, 2, 3))
        return Activations(logits, {})


def problem(cls: int = 0, count: int = 2, pixels: int = 8) -> TinyProblem:
    made = TinyProblem(info=tiny_info(pixels=pixels), labels=torch.full((count,), cls))
    made.teachers = [Brightness(cls)]
    return made


def untiled(images: Tensor, factor: int) -> Tensor:
    """Tile k of every image, then tile k + 1 of every image: the other way round, by slices."""
    high, wide = images.shape[2] // factor, images.shape[3] // factor
    return torch.cat([
        images[:, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        for row in range(factor)
        for column in range(factor)
    ])  # fmt: skip


# -- mosaics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_a_mosaic_comes_apart_into_its_patches(factor: int, count: int) -> None:
    patches = torch.randn(count * factor**2, 3, 4, 5, generator=make_generator(0))
    images = tile(patches, factor)
    assert images.shape == (count, 3, 4 * factor, 5 * factor)
    assert torch.equal(untiled(images, factor), patches)


def test_a_factor_that_does_not_divide_the_image_is_refused() -> None:
    with pytest.raises(DDBenchError, match="factor 3 does not divide images of 8 x 8"):
        RDED(factor=3).recover(problem(), torch.arange(2))


@pytest.mark.parametrize(
    ("option", "value"),
    [("factor", 0), ("candidates", 0), ("crops", 0), ("crop", (0.0, 1.0)), ("ratio", (2.0, 1.0)),
     ("batch_size", 0)],
)  # fmt: skip
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(DDBenchError, match=f"{option} is"):
        RDED(**{option: value})


# -- ranking ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), r=st.integers(1, 4))
def test_no_patch_is_kept_before_a_better_one(seed: int, n: int, r: int) -> None:
    scores = torch.rand(n, r, generator=make_generator(seed))
    best = scores.min(1).values
    order = rank_patches(scores, 1)
    assert scores.flatten()[order].tolist() == best.sort().values.tolist()
    assert sorted((order // r).tolist()) == list(range(n))
    everything = rank_patches(scores, r)
    assert sorted(everything.tolist()) == list(range(n * r))
    second = scores.sort(1).values
    for round_, some in enumerate(everything.split(n)):
        assert scores.flatten()[some].tolist() == second[:, round_].sort().values.tolist()


def test_the_brightest_images_are_chosen_by_a_teacher_that_likes_light() -> None:
    here = problem(count=3)
    part = RDED(crop=WHOLE, crops=1)
    found = part.recover(here, torch.arange(3))
    real = here.real(0)
    wanted = real[real.mean((1, 2, 3)).argsort(descending=True)[:3]]
    torch.testing.assert_close(found, wanted)


def test_with_a_crop_for_every_tile_the_teacher_has_no_say_in_what_is_kept() -> None:
    """As many candidates as tiles, one crop each: a mosaic of random crops, whoever ranks them."""
    part = RDED(factor=2, candidates=4, crops=1)

    def kept(sign: float) -> set[tuple[float, ...]]:
        here = problem(count=1)
        ask = here.teachers[0]
        here.teachers = [lambda images: Activations(sign * ask(images).logits, {})]
        return {
            tuple(p.flatten().tolist()) for p in untiled(part.recover(here, torch.arange(1)), 2)
        }

    here = problem(count=1)
    rng = here.rng("class", 0)
    drawn = here.real(0)[torch.randperm(6, generator=rng)[:4]]
    crops = part.cut_patches(drawn, 1, rng).flatten(0, 1)
    assert kept(1.0) == kept(-1.0) == {tuple(crop.flatten().tolist()) for crop in crops}


def test_the_first_tile_of_all_images_is_filled_before_the_second() -> None:
    here = problem(count=1)
    found = RDED(factor=2, crop=WHOLE, crops=1).recover(here, torch.arange(1))
    light = untiled(found, 2).mean((1, 2, 3))
    assert light.tolist() == sorted(light.tolist(), reverse=True)


def test_more_crops_find_lighter_patches() -> None:
    def light(crops: int) -> float:
        part = RDED(crops=crops, crop=(0.1, 0.3))
        return float(part.recover(problem(count=3), torch.arange(3)).mean())

    assert light(20) > light(1) + 0.1


# -- patches ---------------------------------------------------------------------------------------


def test_patches_are_scored_in_the_middle_of_the_mean_colour() -> None:
    here = problem()
    patches = torch.ones(2, 3, 4, 4)
    scores = RDED(factor=2).score_patches(here, patches, 0)
    (seen,) = here.teachers[0].seen
    assert seen.shape == (2, 3, 8, 8)
    assert torch.equal(seen[:, :, 2:6, 2:6], patches)
    assert float(seen.sum()) == 2 * 3 * 16
    wanted = -torch.tensor([0.25, 0.0, 0.0]).log_softmax(0)[0]
    torch.testing.assert_close(scores, wanted.expand(2))


def test_the_batch_of_the_teacher_does_not_show() -> None:
    part = RDED(factor=2)
    whole = part.recover(problem(), torch.arange(2))
    assert torch.equal(replace(part, batch_size=3).recover(problem(), torch.arange(2)), whole)


def test_classes_of_few_images_give_several_patches_of_each() -> None:
    """Six images, eight times four tiles: each image gives five or six."""
    here = problem(count=8, pixels=32)
    found = RDED(factor=2, crops=1).recover(here, torch.arange(8))
    assert found.shape == (8, 3, 32, 32)
    patches = untiled(found, 2).flatten(1)
    assert len({tuple(patch.tolist()) for patch in patches}) == 32


def test_only_as_many_images_are_looked_at_as_are_asked_for() -> None:
    here = problem(count=1)
    RDED(candidates=4, crops=3).recover(here, torch.arange(1))
    assert sum(map(len, here.teachers[0].seen)) == 12


# -- a whole run -----------------------------------------------------------------------------------


def test_rded_runs_end_to_end(ddbench: Callable[..., Any], tiny: list[Any], cache: Cache) -> None:
    options = ["--set", "recover.factor=2", "--set", "recover.candidates=20"]
    done = ddbench("run", *tiny, "--method", "rded", "--ipc", 2, "--no-reference", *options)
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
    assert "statistics" not in record.keys
