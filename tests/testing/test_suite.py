"""The conformance suite finds what it promises to find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.features import Features, feature_tap
from ddbench.api.recipe import Claim, Recipe, Training
from ddbench.api.types import Atoms, Metric, Tap
from ddbench.registry import load
from ddbench.testing import TinyProblem, check_part, check_plugin, tiny_info, tiny_step, tiny_trial
from ddbench_plugins.distillers.select import RandomSelection
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.learned import Learned as LearnedLabels
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.wasserstein import Wasserstein
from tests.doubles.installed import install
from tests.doubles.learning import Learner

# -- parts with one fault each ---------------------------------------------------------------------


@dataclass(frozen=True)
class Penalty:
    """A regularizer that conforms; what follows breaks it."""

    version: ClassVar[int] = 1
    statistics: ClassVar[tuple[Any, ...]] = ()

    def taps(self, network):
        return ()

    def penalty(self, step):
        return step.images.square().mean()


@dataclass
class Thawed:
    version: ClassVar[int] = 1


@dataclass(frozen=True)
class Unhashable(Penalty):
    sizes: list[int] | None = None


@dataclass(frozen=True)
class OptionalVersion(Penalty):
    version: int = 1  # type: ignore[misc]


@dataclass(frozen=True)
class Detached(Penalty):
    def penalty(self, step):
        return step.images.detach().square().mean()


@dataclass(frozen=True)
class Vector(Penalty):
    def penalty(self, step):
        return step.images.square().mean((1, 2, 3))


@dataclass(frozen=True)
class Infinite(Penalty):
    def penalty(self, step):
        return step.images.square().mean() / 0


@dataclass(frozen=True)
class Kinked(Penalty):
    """Its gradient is not finite for a black image alone."""

    def penalty(self, step):
        return step.images.square().flatten(1).sum(1).sqrt().sum()


@dataclass(frozen=True)
class Drawn(Penalty):
    def penalty(self, step):
        return step.images.square().mean() * torch.rand(())


@dataclass(frozen=True)
class Meddling(Penalty):
    def penalty(self, step):
        step.weights.add_(1)
        return step.images.square().mean()


@dataclass(frozen=True)
class Crashing(Penalty):
    def penalty(self, step):
        return step.images.no_such_thing


@dataclass(frozen=True)
class Choosy(Penalty):
    def taps(self, network):
        raise IncompatibleError("needs a transformer")


class Undecorated:
    version = 1


PENALTIES = [
    (Thawed(), "is not frozen"),
    (Unhashable([3]), "cannot be hashed"),
    (OptionalVersion(), "has an option `version`"),
    (Detached(), "something detaches it"),
    (Vector(), "expected a scalar float"),
    (Infinite(), "gave inf"),
    (Kinked(), "guard roots and quotients at 0"),
    (Drawn(), "differs from call to call"),
    (Meddling(), "changes step.weights"),
    (Crashing(), "penalty raised AttributeError (test_suite.py:"),
    (Undecorated(), "is no dataclass"),
    (Penalty, "hooks return ready-to-use parts: Penalty()"),
    (Mean(), "lacks what every regularizer has: penalty"),
]


@pytest.mark.parametrize(("part", "fault"), PENALTIES, ids=[fault for _, fault in PENALTIES])
def test_faults_of_regularizers(part, fault):
    assert any(fault in problem for problem in check_part("regularizer", "it", part))


def test_a_good_regularizer_and_one_that_declines_are_fine():
    assert check_part("regularizer", "it", Penalty()) == []
    assert check_part("regularizer", "it", Choosy()) == []


def test_names_are_lower_snake_case():
    assert check_part("regularizer", "It-self", Penalty()) == [
        "name 'It-self' is not lower_snake_case"
    ]


def test_a_part_inside_a_function_has_no_import_path():
    @dataclass(frozen=True)
    class Local(Penalty):
        pass

    assert any("defined inside a function" in p for p in check_part("regularizer", "it", Local()))


@dataclass(frozen=True)
class LastBatch:
    """A statistic that forgets all batches but the last."""

    version: ClassVar[int] = 1

    def taps(self, network) -> tuple[Tap, ...]:
        return (feature_tap(network),)

    def start(self, network, info):
        return {}

    def update(self, state, acts, labels):
        return {"mean": next(iter(acts.taps.values()))["features"].mean(0)}

    def finish(self, state):
        return state


def test_a_statistic_must_not_depend_on_batches():
    assert check_part("statistic", "features", Features()) == []
    (problem,) = check_part("statistic", "last_batch", LastBatch())
    assert problem == "'mean' depends on the size of the batches"


@dataclass(frozen=True)
class Atomic:
    version: ClassVar[int] = 1
    statistic: ClassVar[Features] = Features()
    fault: str = ""

    def atoms(self, features, count, rng):
        points = features[torch.randint(len(features), (count,), generator=rng)]
        if self.fault == "global":
            points = features[torch.randint(len(features), (count,))] + torch.rand(())
        weights = torch.full((count,), 1.0 if self.fault == "weights" else 1 / count)
        kept = max(1, count - (self.fault == "count"))
        return Atoms(points[:kept], weights[:kept])


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("global", "take every random number from `rng`"),
        ("weights", "weights of atoms sum to 3"),
        ("count", "expected [m, d] = [3, 5]"),
    ],
)
def test_faults_of_targets(fault, says):
    assert check_part("target", "atomic", Atomic()) == []
    assert any(says in problem for problem in check_part("target", "atomic", Atomic(fault)))


# -- evaluators, labellers, distillers ------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("score"),)
    fault: str = ""

    def evaluate(self, trial) -> Mapping[str, float]:
        if self.fault == "sneaky":
            return {"score": float(len(trial.features().real))}
        if self.fault == "meddling":
            trial.logits.zero_()
        return {
            "extra": {"score": 1.0, "more": 2.0},
            "nan": {"score": float("nan")},
            "tensor": {"score": torch.ones(())},
            "random": {"score": torch.rand(()).item()},
        }.get(self.fault, {"score": 1.0})


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("extra", "reports more, declared: score"),
        ("nan", "expected a finite float"),
        ("tensor", "expected a finite float"),
        ("random", "differs from call to call"),
        ("meddling", "changes the trial"),
        ("sneaky", "asks a trial for more than it needs"),
    ],
)
def test_faults_of_evaluators(fault, says):
    assert check_part("evaluator", "score", Score()) == []
    assert any(says in problem for problem in check_part("evaluator", "score", Score(fault)))


class Deaf(Hard):
    def loss(self, student, batch, teacher):
        return student.detach().mean()


def test_a_labeller_needs_a_gradient():
    assert "loss has no gradient to the student's logits" in check_part("labeller", "deaf", Deaf())


class Selection(RandomSelection):
    fault: str = ""

    def batches(self, labels):
        return super().batches(labels)[: -1 if self.fault == "lost" else None]

    def iterations_of(self, problem, indices):
        return 7 if self.fault == "ticks" else 1

    def recover(self, problem, indices):
        found = super().recover(problem, indices)
        if self.fault == "other":
            return (found + 1) % sum(problem.info.train_counts)
        if self.fault == "random":
            return found[torch.randint(len(found), (len(found),))]
        if self.fault == "objective":
            problem.objective(torch.zeros(2, 3, 8, 8), indices, 0.0)
        return found


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("lost", "every image once"),
        ("ticks", "recover calls tick 1 times, iterations_of says 7"),
        ("other", "to which it does not belong"),
        ("random", "draw from problem.rng"),
        ("objective", "asks for the objective but does not say so"),
    ],
)
def test_faults_of_distillers(fault, says):
    assert check_part("distiller", "selection", Selection()) == []
    problems = check_part("distiller", "selection", Selection(fault))
    assert any(says in problem for problem in problems)


class Learning(Learner):
    fault: str = ""

    @property
    def learns(self):
        return frozenset() if self.fault == "silent" else super().learns

    def batches(self, labels):
        groups = super().batches(labels)
        return list(groups[0].split(2)) if self.fault == "groups" else groups

    def recover(self, problem, indices):
        learned = super().recover(problem, indices)
        if self.fault == "missing":
            return learned.images
        if self.fault == "rows":
            return replace(learned, labels=learned.labels[1:])
        if self.fault == "random":
            return replace(learned, labels=learned.labels + torch.rand(()))
        return learned


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("silent", "returned learned labels, which Learning.learns does not name"),
        ("missing", "did not return learned labels, which Learning.learns names"),
        ("rows", "gave labels that are float32 [5, 3]"),
        ("random", "draw from problem.rng"),
        ("groups", "learns a rate and makes its images in 3 groups"),
    ],
)
def test_faults_of_what_distillers_learn(fault, says):
    (problem,) = check_part("distiller", "learning", Learning(rate=0.1, fault=fault))
    assert says in problem
    for rate in (0.0, 0.1):
        assert check_part("distiller", "learner", Learner(rate=rate)) == []


class Needy(Hard):
    """Reads labels that it does not ask for."""

    def loss(self, student, batch, teacher):
        return super().loss(student, batch, teacher) + batch.learned.mean()


class Greedy(Hard):
    """Asks for what nobody learns."""

    needs = frozenset({"momentum"})


def test_faults_of_what_labellers_need():
    (problem,) = check_part("labeller", "needy", Needy())
    assert "loss raised AttributeError" in problem
    (problem,) = check_part("labeller", "greedy", Greedy())
    assert "expected a frozenset out of ['labels']" in problem
    assert check_part("labeller", "learned", LearnedLabels()) == []


class Blind(RandomSelection):
    statistics: ClassVar[tuple[Any, ...]] = (Features(),)


def test_a_distiller_that_knows_something_needs_a_teacher():
    (problem,) = check_part("distiller", "blind", Blind())
    assert problem == 'declares statistics without "teacher" in `needs`'


# -- architectures and recipes ---------------------------------------------------------------------


@dataclass(frozen=True)
class Flat:
    version: ClassVar[int] = 1
    outputs: int = 0
    named: str = "1"

    def build(self, info):
        pixels = info.shape[0] * info.shape[1] * info.shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, self.outputs or info.num_classes))

    def classifier(self, module):
        return self.named


def test_faults_of_architectures():
    assert check_part("architecture", "flat", Flat()) == []
    (wide,) = check_part("architecture", "flat", Flat(outputs=9))
    assert "expected logits [2, 4]" in wide
    (nowhere,) = check_part("architecture", "flat", Flat(named="head"))
    assert "'head', which is no module of Sequential" in nowhere
    (other,) = check_part("architecture", "flat", Flat(named="0"))
    assert "is not the logits" in other


def recipe(info, ipc) -> Recipe:
    return Recipe(
        name="recipe",
        title="a recipe",
        squeeze=Training(epochs=1),
        distiller=RandomSelection(),
        labeller=Hard(),
    )


def test_faults_of_recipes():
    assert check_part("recipe", "recipe", recipe) == []
    (named,) = check_part("recipe", "other", recipe)
    assert named == "calls itself 'recipe', registered as 'other'"
    faulty = replace(recipe(None, 1), distiller=Selection("ticks"))
    problems = check_part("recipe", "recipe", lambda info, ipc: faulty)
    assert problems == ["distiller: recover calls tick 1 times, iterations_of says 7"]
    assert check_part("recipe", "recipe", 3) == ["is int, expected a function"]


# -- the report of a package -----------------------------------------------------------------------

BAD = """
from ddbench import hookimpl
from tests.testing.test_suite import Kinked, Penalty
@hookimpl
def ddbench_regularizers():
    return {"smooth_one": Penalty(), "kinked_one": Kinked()}
"""


def test_the_report_names_parts_and_faults(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = {"report_bad": BAD, "report_torn": "1 / 0", "report_empty": ""}
    report = check_plugin("Ddbench_Report", load(install(tmp_path, "ddbench-report", modules)))
    assert not report.ok
    assert [(part.name, bool(part.problems)) for part in report.parts] == [
        ("smooth_one", False), ("kinked_one", True),
    ]  # fmt: skip
    text = str(report)
    assert "broken  report_torn (report_torn): ZeroDivisionError: division by zero" in text
    assert "broken  report_empty (report_empty): provides nothing" in text
    assert "ok      regularizer smooth_one" in text
    assert "FAILED  regularizer kinked_one\n        the gradient of penalty" in text
    assert text.endswith("Ddbench_Report: 2 parts, 3 to mend")


def test_a_package_that_is_not_installed_is_unknown():
    with pytest.raises(DDBenchError, match="unknown package 'ddbenhc'") as caught:
        check_plugin("ddbenhc", load())
    assert caught.value.hint == "did you mean 'ddbench'?"


def test_an_unknown_kind_is_an_error():
    with pytest.raises(DDBenchError, match="unknown kind of part 'macher'"):
        check_part("macher", "it", Penalty())


# -- the stand-ins ---------------------------------------------------------------------------------


def test_a_step_serves_what_a_matcher_asks_for():
    step = tiny_step(Wasserstein())
    assert step.atoms is not None
    assert step.atoms.shape == (7, 5)
    assert step.images.requires_grad
    for cls in (0, 1, 2):
        assert step.weights[step.labels == cls].sum().item() == pytest.approx(1)


def test_stand_ins_are_the_same_every_time():
    assert torch.equal(tiny_step(Mean()).images, tiny_step(Mean()).images)
    assert torch.equal(tiny_trial().logits, tiny_trial().logits)
    first, second = TinyProblem(), TinyProblem()
    assert torch.equal(first.real(1), second.real(1))
    assert torch.equal(torch.rand(2, generator=first.rng("a")),
                       torch.rand(2, generator=second.rng("a")))  # fmt: skip
    assert tiny_info() == tiny_info()


@pytest.mark.parametrize(
    ("metric", "value", "fine"),
    [
        ("top1", 101.0, False), ("top1", 99.0, True), ("peak_bytes", 5e9, True),
        ("total_seconds", 3600.0, True), ("total_seconds", -1.0, False),
    ],
)  # fmt: skip
def test_only_an_accuracy_is_claimed_in_percent(metric, value, fine):
    claim = Claim(dataset="tiny", ipc=1, student="", value=value, metric=metric)

    def recipe(info, ipc):
        return Recipe(
            name="claims", title="", squeeze=Training(epochs=1), distiller=RandomSelection(),
            labeller=Hard(), claims=(claim,),
        )  # fmt: skip

    assert (check_part("recipe", "claims", recipe) == []) == fine
