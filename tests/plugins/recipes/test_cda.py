"""CDA's curriculum: its ends and shapes, the views that it gives, and a run on real digits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.keys import spell_text
from ddbench.store.records import Records
from ddbench.testing import tiny_info
from ddbench.testing.fakes import TinyProblem
from ddbench_plugins.distillers.optimize import Curriculum, Optimize
from ddbench_plugins.recipes.cda import cda
from ddbench_plugins.recipes.sre2l import sre2l

SHAPES: Any = ("cosine", "linear", "step")
STILL: dict[str, Any] = {"flip": False, "roll": (0, 0), "ratio": (1.0, 1.0)}


# -- areas -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("milestone", [0.25, 1.0])
def test_it_begins_with_whole_images_and_ends_at_the_smallest(shape: Any, milestone: float) -> None:
    part = Curriculum(shape=shape, milestone=milestone)
    assert part.area(0) == (1.0, 1.0)
    assert part.area(milestone) == (0.08, 1.0)
    assert part.area(1) == (0.08, 1.0)
    areas = [part.area(t / 200)[0] for t in range(201)]
    assert all(after <= before for before, after in itertools.pairwise(areas))


@pytest.mark.parametrize("milestone", [0.5, 1.0])
def test_half_way_it_is_half_way_down_unless_it_is_a_step(milestone: float) -> None:
    half = milestone / 2
    for shape in ("cosine", "linear"):
        part = Curriculum(shape=shape, milestone=milestone)
        assert part.area(half)[0] == pytest.approx(0.54)
    assert Curriculum(shape="step", milestone=milestone).area(0.999 * milestone) == (1.0, 1.0)
    quarter = Curriculum(milestone=milestone).area(half / 2)[0]
    assert quarter == pytest.approx(0.08 + 0.92 * (1 + 0.5**0.5) / 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_milestone_it_is_sre2l(shape: Any) -> None:
    part = Curriculum(shape=shape, milestone=0)
    assert {part.area(t / 10) for t in range(11)} == {(0.08, 1.0)}
    tiny = replace(Optimize(iterations=4, roll=(0, 2)), crop=part)
    plain = replace(tiny, crop=(0.08, 1.0))
    rows = torch.arange(6)
    assert torch.equal(tiny.recover(TinyProblem(), rows), plain.recover(TinyProblem(), rows))


@pytest.mark.parametrize(("option", "value"), [("smallest", 0), ("smallest", 1.1),
                                               ("milestone", -0.1), ("milestone", 2)])  # fmt: skip
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(DDBenchError, match=f"{option} is"):
        Curriculum(**{option: value})


# -- views -----------------------------------------------------------------------------------------


def test_views_lose_more_and_more_of_the_image() -> None:
    """On a ramp the slope of a view says how wide its crop was."""
    part = Optimize(crop=Curriculum(smallest=0.1), **STILL)
    info = tiny_info(pixels=16)
    image = torch.arange(16.0).expand(1, 3, 16, 16)

    def width(done: float) -> float:
        views = [
            part.draw_view(image, info, make_generator(seed), done)[0, 0, 0] for seed in range(40)
        ]
        return sum(float(view[8] - view[7]) for view in views) / len(views)

    assert torch.equal(part.draw_view(image, info, make_generator(0), 0.0), image)
    assert 1 > width(0.4) > width(0.7) > width(1.0) > 0.3


def test_the_loop_tells_the_curriculum_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(Curriculum, "area", lambda self, done: (told.append(done), (1.0, 1.0))[1])
    part = Optimize(iterations=4, crop=Curriculum(), **STILL)
    part.recover(TinyProblem(), torch.arange(6))
    assert told == [0, 0.25, 0.5, 0.75]


# -- the recipe ------------------------------------------------------------------------------------


def test_a_constant_crop_is_spelt_as_before_there_were_curricula() -> None:
    assert '"crop":[0.08,1]' in spell_text(Optimize())


def test_settings_are_those_of_the_scripts() -> None:
    large = replace(tiny_info(pixels=224), name="imagenet1k")
    small = replace(tiny_info(pixels=64), name="tiny_imagenet@64")
    for info, rate, weight, roll in ((large, 0.25, 0.01, (0, 32)), (small, 0.4, 0.05, (0, 4))):
        recipe = cda(info, 10)
        part = recipe.distiller
        assert isinstance(part, Optimize)
        assert (part.lr, part.roll, part.iterations) == (rate, roll, 4000)
        assert part.crop == Curriculum()
        assert recipe.regularizers[0].weight == weight
    assert replace(cda(large, 10).distiller, crop=(0.08, 1.0)) == sre2l(large, 10).distiller


def test_cda_runs_end_to_end(ddbench: Callable[..., Any], tiny: list[Any], cache: Cache) -> None:
    options = ["--set", "recover.iterations=3", "--set", "recover.crop.milestone=0.5"]
    done = ddbench("run", *tiny, "--method", "cda", "--ipc", 1, "--no-reference", *options)
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
