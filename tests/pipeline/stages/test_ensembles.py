"""Ensembles of teachers: plans and keys, the objective by turns or all at once, mean labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.recipe import NamedArchitecture
from ddbench.api.record import Record
from ddbench.api.roles import Regularizer
from ddbench.api.types import DatasetInfo, Network, Step
from ddbench.config.grid import Selection, expand
from ddbench.config.overrides import apply
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import Probe, freeze_network
from ddbench.pipeline.stages.problem import RecoverProblem, Taught, Term
from ddbench.pipeline.stages.relabel import ask, combine_answers, relabel
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.soft import Soft
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from tests.pipeline.stages.test_relabel import spec_of, stream  # noqa: F401

CTX = Context()
PARTS = (ConvNetD(2, 4, "batch"), ConvNetD(2, 6, "batch"), ConvNetD(1, 5, "batch"))


def expanded(registry: Any, **choices: Any) -> Any:
    told = {"seeds": 1, "reference": False, "teachers": ("convnet3_bn+resnet18",), **choices}
    return expand(Selection(**told), registry, None)


def one_plan(registry: Any, **choices: Any) -> Any:
    (made,) = expanded(registry, **choices)
    return made


# -- plans and keys --------------------------------------------------------------------------------


def test_every_teacher_is_squeezed_on_its_own_and_has_its_own_statistics(registry: Any) -> None:
    both = one_plan(registry)
    one, two = (one_plan(registry, teachers=(name,)) for name in ("convnet3_bn", "resnet18"))
    assert [t.squeeze.key for t in both.teachers] == [one.squeeze.key, two.squeeze.key]
    assert both.statistics == (*one.statistics, *two.statistics)
    assert [t.targets for t in both.teachers] == [one.teachers[0].targets, two.teachers[0].targets]
    assert both.recover.inputs == (*one.recover.inputs, *two.recover.inputs)
    assert both.evaluate[0].inputs == (both.recover.key, one.squeeze.key, two.squeeze.key)
    names = [stage.stage for stage in both.stages()]
    assert names == ["squeeze"] * 2 + ["statistics"] * 4 + ["targets"] * 2 + ["recover", "evaluate"]


def test_the_order_of_an_ensemble_counts_and_a_third_teacher_too(registry: Any) -> None:
    keys = {
        one_plan(registry, teachers=(text,)).key
        for text in ("convnet3_bn+resnet18", "resnet18+convnet3_bn", "convnet3_bn",
                     "convnet3_bn+resnet18+resnet34")
    }  # fmt: skip
    assert len(keys) == 4


@pytest.mark.parametrize("method", ["random", "herding"])
def test_an_ensemble_that_nothing_looks_through_is_refused(registry: Any, method: str) -> None:
    with pytest.raises(DDBenchError, match="changes nothing by"):
        one_plan(registry, methods=(method,), labels=("hard",))


def test_the_reference_row_is_labelled_by_the_whole_ensemble(registry: Any) -> None:
    made, *rows = expanded(registry, reference=True)
    assert rows
    for row in rows:
        assert row.teachers == ()
        assert [t.squeeze for t in row.labelling] == [t.squeeze for t in made.teachers]


def test_a_recipes_companions_join_the_teacher_unless_the_flag_names_an_ensemble(
    registry: Any,
) -> None:
    plain = one_plan(registry, teachers=("convnet3_bn",)).cell.recipe
    others = tuple(
        NamedArchitecture(name=n, part=registry.get("architecture", n))
        for n in ("resnet18", "convnet3_bn")
    )
    recipe = replace(plain, companions=others)
    parts = {**registry.parts, "recipe": {"pooled": lambda info, ipc: recipe}}
    pooled = replace(registry, parts=parts)

    def names(teacher: str) -> list[str]:
        made = one_plan(pooled, methods=("pooled",), teachers=(teacher,))
        return [t.name for t in made.cell.teachers]

    assert names("convnet3_bn") == ["convnet3_bn", "resnet18"]
    assert names("resnet34") == ["resnet34", "resnet18", "convnet3_bn"]
    assert names("resnet34+resnet50") == ["resnet34", "resnet50"]


def test_a_teacher_named_twice_is_refused(registry: Any) -> None:
    with pytest.raises(DDBenchError, match="names a teacher twice"):
        one_plan(registry, teachers=("resnet18+resnet18",))


def test_options_reach_the_teacher_that_is_named(registry: Any) -> None:
    cell = one_plan(registry, teachers=("convnet3_bn+convnet4_bn",)).cell
    changed = apply(cell, {"teacher.width": "16", "teacher.convnet4_bn.width": "8"})
    assert [t.part.width for t in changed.teachers] == [16, 8]
    with pytest.raises(DDBenchError, match="no option 'depht'"):
        apply(cell, {"teacher.convnet4_bn.depht": "2"})


# -- the objective ---------------------------------------------------------------------------------


@pytest.fixture
def data(info: DatasetInfo) -> RealData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (18, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(3).repeat_interleave(torch.tensor(info.train_counts))
    return RealData(info, images, labels, images[:6], torch.arange(6) % 3)


@pytest.fixture
def networks(info: DatasetInfo) -> list[Network]:
    return [
        freeze_network(Network(build_network(p, info, 0, CTX), "classifier"), CTX) for p in PARTS
    ]


class Witness(Regularizer):
    """Counts its steps, and keeps what it was given."""

    seen: ClassVar[list[Step]] = []

    def penalty(self, step: Step) -> Tensor:
        self.seen.append(step)
        return step.images.new_zeros(())

    def remember(self, step: Step) -> dict[str, Tensor]:
        return {"steps": step.memory.get("steps", torch.zeros(())) + 1}


def problem(data: RealData, networks: list[Network], *regularizers: Any) -> RecoverProblem:
    matchers = (CrossEntropy(), Mean())
    taught = []
    for network in networks:
        (known,) = compute_statistics([Features()], data, network, CTX, Meter("cpu"))
        taps = [tap for m in (*matchers, *regularizers) for tap in m.taps(network)]
        terms = [Term(1.0, matcher, None) for matcher in matchers]
        taught.append(Taught(network, Probe(network, taps, CTX), terms, {Features(): known}))
    return RecoverProblem(
        info=data.info, labels=torch.tensor([0, 1, 2]), weights=torch.ones(3), device="cpu",
        seed=0, data=data, taught=taught, regularizers=[(1.0, r) for r in regularizers],
    )  # fmt: skip


def test_all_teachers_give_the_mean_of_each_ones_objective(
    data: RealData, networks: list[Network]
) -> None:
    images, rows = torch.randn(3, *data.info.shape), torch.arange(3)
    alone = [problem(data, [n], BatchNorm()).objective(images, rows, 0.0) for n in networks]
    together = problem(data, networks, BatchNorm())
    for number, expected in enumerate(alone):
        assert torch.equal(together.objective(images, rows, 0.0, teacher=number), expected)
    mean = together.objective(images, rows, 0.0)
    torch.testing.assert_close(mean, torch.stack(alone).mean())
    assert len({round(float(value), 4) for value in alone}) == 3


@pytest.mark.parametrize(("turns", "expected"), [
    ("rotation", [4, 6, 5, 4, 6]), ("all", [4, 6, 5] * 5),
])  # fmt: skip
def test_rotation_takes_one_teacher_an_iteration_and_all_takes_each(
    turns: Any, expected: list[int], data: RealData, networks: list[Network],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Witness, "seen", [])
    part = Optimize(iterations=5, lr=0.1, roll=(0, 2), teachers=turns)
    part.recover(problem(data, networks, Witness()), torch.arange(3))
    widths = [step.network.module.classifier.in_features for step in Witness.seen]
    positions = {64: 4, 96: 6, 320: 5}
    assert [positions[width] for width in widths] == expected


def test_memory_is_of_one_teacher_and_one_group(
    data: RealData, networks: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Witness, "seen", [])
    made = problem(data, networks[:2], Witness())
    images, rows = torch.randn(3, *data.info.shape), torch.arange(3)
    for number in (0, 1, 1, 0, 1):
        made.objective(images, rows, 0.0, teacher=number)
    found = [int(step.memory.get("steps", torch.zeros(()))) for step in Witness.seen]
    assert found == [0, 0, 1, 1, 2]
    seeds = [step.seed for step in Witness.seen]
    assert len(set(seeds)) == 5
    made.begin(0)
    made.objective(images, rows, 0.0, teacher=1)
    assert not Witness.seen[-1].memory
    assert Witness.seen[-1].seed == seeds[0]
    made.begin(2)
    made.objective(images, rows, 0.0)
    assert Witness.seen[-1].seed not in seeds


# -- labels ----------------------------------------------------------------------------------------


def test_labels_are_the_mean_of_the_logits(
    info: DatasetInfo,
    networks: list[Network],
    stream: Any,  # noqa: F811
) -> None:
    for labeller in (FKD(store=True), Soft()):
        told = spec_of(info, labeller)
        each = [relabel(told, stream, [n], CTX, Meter("cpu"))[0] for n in networks]
        both, _ = relabel(told, stream, networks, CTX, Meter("cpu"))
        name = "views" if labeller.asks == "views" else "logits"
        *alone, mean = (getattr(stored, name).float() for stored in (*each, both))
        torch.testing.assert_close(mean, torch.stack(alone).mean(0), rtol=2e-3, atol=2e-3)
        assert not torch.allclose(mean, alone[0], atol=1e-2)


def test_a_labeller_may_combine_the_answers_in_its_own_way(
    info: DatasetInfo, networks: list[Network]
) -> None:
    class Boldest(FKD):
        def combined(self, answers: Tensor) -> Tensor:
            return answers.amax(0)

    images = torch.randn(4, *info.shape)
    answers = [ask([network], images, FKD(), CTX) for network in networks]
    found = ask(networks, images, Boldest(), CTX)
    torch.testing.assert_close(found, torch.stack(answers).amax(0), rtol=1e-3, atol=1e-3)
    assert combine_answers(Boldest(), answers[:1]) is answers[0]


# -- end to end ------------------------------------------------------------------------------------


def test_records_and_dry_run_show_all_teachers(ddbench: Any, tiny: list[object]) -> None:
    words = [*tiny, "-m", "wmdd", "--ipc", 1, "--set", "recover.iterations=2", "--teacher",
             "convnet3_bn+convnet3", "--set", "teacher.convnet3.norm=batch",
             "--set", "teacher.convnet3.width=8", "--set", "recover.teachers=rotation"]  # fmt: skip
    planned = ddbench("run", *words, "--dry-run")
    assert planned.code == 0, planned.err
    assert "(to run) convnet3_bn" in planned.out
    assert "(to run) convnet3\n" in planned.out
    done = ddbench("run", *words)
    assert done.code == 0, done.err
    records = [Record.model_validate_json(p.read_text()) for p in _records()]
    (found,) = [r for r in records if r.method == "wmdd"]
    assert found.teacher == "convnet3_bn+convnet3"
    assert found.teachers == ["convnet3_bn", "convnet3"]
    assert {"teacher_top1.convnet3_bn", "teacher_top1.convnet3"} <= set(found.reports)
    assert len(found.keys["squeeze"]) == 2
    assert "convnet3_bn on digits" in done.out
    random = next(r for r in records if r.method == "random")
    assert random.keys["squeeze"] == found.keys["squeeze"]


def _records() -> list[Any]:
    import os
    from pathlib import Path

    return sorted((Path(os.environ["DDBENCH_CACHE"]) / "records").rglob("*.json"))
