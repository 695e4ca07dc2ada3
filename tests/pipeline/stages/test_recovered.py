"""What a distiller returned is checked and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.distiller import Distiller, Learned
from ddbench.api.errors import DDBenchError
from ddbench.data.real import RealData
from ddbench.pipeline.specs import Recover, data_key
from ddbench.pipeline.stages.problem import RecoverProblem
from ddbench.pipeline.stages.recover import recover
from ddbench.pipeline.stages.recovered import (
    check_learnable,
    check_recovered,
    keep,
    names_kept,
    quantise,
)
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench.testing import tiny_info
from tests.doubles.learning import Learner

INFO = tiny_info()


@pytest.fixture
def problem() -> RecoverProblem:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (6, 3, 8, 8), generator=rng, dtype=torch.uint8)
    data = RealData(INFO, images, torch.tensor([0, 0, 1, 1, 2, 2]), images[:3], torch.arange(3))
    return RecoverProblem(
        info=INFO, labels=torch.tensor([0, 1, 2]), weights=torch.ones(3), device="cpu", seed=0,
        data=data,
    )  # fmt: skip


def test_stored_bytes_are_rounded_and_come_back_as_they_were(problem: RecoverProblem) -> None:
    levels = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
    normalised = problem.normalise(levels / 255)
    assert torch.equal(quantise(normalised, problem), levels)
    nudged = problem.normalise((levels + 0.4) / 255)
    assert torch.equal(quantise(nudged, problem), levels)
    assert torch.equal(quantise(problem.normalise((levels + 0.6) / 255), problem), levels + 1)
    low, high = problem.pixel_range()
    assert (quantise(low.expand(1, 3, 8, 8) - 5, problem) == 0).all()
    assert (quantise(high.expand(1, 3, 8, 8) + 5, problem) == 255).all()


class Saying(Distiller):
    """A distiller that says that it learns what it is told to."""

    said: tuple[str, ...] = ()

    @property
    def learns(self) -> frozenset[str]:
        return frozenset(self.said)

    counts = batches = iterations_of = recover = lambda *given: None


IMAGES = torch.zeros(3, 3, 8, 8)
GROUP = torch.arange(3)
LABELS = torch.eye(3)


@pytest.mark.parametrize(
    ("said", "recovered", "kept"),
    [
        ((), IMAGES, {}),
        ((), Learned(IMAGES), {}),
        (("labels",), Learned(IMAGES, LABELS.double()), {"soft_labels": LABELS}),
        (("rate",), Learned(IMAGES, rate=0.1), {"rate": torch.tensor(0.1).double()}),
        (
            ("labels", "rate"),
            Learned(IMAGES, LABELS.clone().requires_grad_(True), 1.0),
            {"soft_labels": LABELS, "rate": torch.tensor(1.0).double()},
        ),
    ],
)
def test_labels_and_a_rate_are_kept_beside_the_images(
    said: tuple[str, ...], recovered: Any, kept: dict[str, Tensor], problem: RecoverProblem
) -> None:
    distiller = Saying(said=said)
    learned = check_recovered(distiller, recovered, problem, GROUP)
    tensors = keep(distiller, learned, problem)
    assert tensors.keys() == names_kept(distiller) == {"group", *kept}
    assert torch.equal(tensors["group"], quantise(IMAGES, problem))
    for name, expected in kept.items():
        assert torch.allclose(tensors[name], expected)
        assert tensors[name].dtype == (torch.float64 if name == "rate" else torch.float32)
        assert not tensors[name].requires_grad


NAN = float("nan")


@pytest.mark.parametrize(
    ("said", "returned", "message"),
    [
        ((), {"labels": LABELS}, "returned learned labels, which Saying.learns does not name"),
        ((), {"rate": 0.1}, "returned a learned rate, which Saying.learns does not name"),
        (("labels",), {}, "did not return learned labels, which Saying.learns names"),
        (("labels", "rate"), {"labels": LABELS}, "did not return a learned rate"),
        (("labels",), {"labels": LABELS[:2]}, r"labels that are float32 \[2, 3\]"),
        (("labels",), {"labels": GROUP}, r"labels that are int64 \[3\]"),
        (("labels",), {"labels": LABELS * NAN}, "labels that are not finite"),
        (("rate",), {"rate": torch.tensor(0.1)}, r"a rate that is float32 \[\]"),
        (("rate",), {"rate": NAN}, "learned the rate nan"),
        (("rate",), {"rate": -0.1}, "learned the rate -0.1"),
        ((), {"images": IMAGES[:2]}, r"gave float32 \[2, 3, 8, 8\]"),
    ],
)
def test_what_was_not_announced_or_is_of_another_form_is_refused(
    said: tuple[str, ...], returned: dict[str, Any], message: str, problem: RecoverProblem
) -> None:
    learned = Learned(IMAGES)
    for name, value in returned.items():  # past the checks of types while tests run
        object.__setattr__(learned, name, value)
    with pytest.raises(DDBenchError, match=message):
        check_recovered(Saying(said=said), learned, problem, GROUP)


def test_what_can_be_learned_is_checked_ahead() -> None:
    check_learnable(Saying(said=("labels", "rate")), 1)
    check_learnable(Saying(said=("labels",)), 3)
    with pytest.raises(DDBenchError, match=r"Saying\.learns names momentum"):
        check_learnable(Saying(said=("momentum",)), 1)
    with pytest.raises(DDBenchError, match="learns a rate and makes its images in 3 groups"):
        check_learnable(Saying(said=("rate",)), 3)


# -- from end to end of the stage ------------------------------------------------------------------


class Interrupted(Learner):
    """Learns labels class by class, and is killed before the last class."""

    killed: ClassVar[bool] = True

    def recover(self, problem: Any, indices: Tensor) -> Learned:
        if self.killed and 2 in problem.labels[indices]:
            raise KeyboardInterrupt
        return super().recover(problem, indices)


def _recover(distiller: Distiller, problem: RecoverProblem, cache: Cache) -> tuple[Any, Any]:
    spec = Recover(
        data=data_key(INFO), distiller=distiller, counts=(2, 2, 2), matchers=(), regularizers=(),
        seed=0, precision="fp32",
    )  # fmt: skip
    partial = cache.partial("recover", "key")
    made, report = recover(spec, problem.data, [], partial, Context(), Meter("cpu"))
    return made.to_tensors(), report


def test_labels_of_finished_groups_survive_a_kill(
    problem: RecoverProblem, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = _recover(Learner(), problem, Cache(tmp_path / "calm"))
    assert whole["soft_labels"].shape == (6, 3)
    assert torch.equal(whole["soft_labels"].argmax(1), whole["labels"])
    with pytest.raises(KeyboardInterrupt):
        _recover(Interrupted(), problem, cache)
    files = sorted(cache.partial("recover", "key").folder.iterdir())
    assert len(files) == 2
    monkeypatch.setattr(Interrupted, "killed", False)
    again, report = _recover(Interrupted(), problem, cache)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert "recover.learned_rate" not in report
    assert files == sorted(cache.partial("recover", "key").folder.iterdir())[:2]


def test_a_rate_is_of_the_whole_set_and_reported(problem: RecoverProblem, cache: Cache) -> None:
    for _ in range(2):  # the second time from the finished group
        made, report = _recover(Learner(rate=0.3), problem, cache)
        assert made["rate"].item() == report["recover.learned_rate"] == 0.3
        assert made["soft_labels"].shape == (6, 3)


def test_groups_of_a_distiller_that_learned_nothing_are_made_again(
    problem: RecoverProblem, cache: Cache
) -> None:
    cache.partial("recover", "key").put(0, {"group": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)})
    made, _ = _recover(Learner(), problem, cache)
    assert made["soft_labels"].shape == (6, 3)
    assert made["images"][:2].any()
