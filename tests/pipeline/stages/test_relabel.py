"""FKD: labels that were stored are those that the teacher gives to the replayed views."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Training
from ddbench.api.roles import Labeller
from ddbench.api.types import Batch, DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.pipeline.plan import PlannedStage
from ddbench.pipeline.specs import Evaluate, Relabel, data_key
from ddbench.pipeline.stages.evaluate import evaluate
from ddbench.pipeline.stages.relabel import ask, relabel
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.training.batches import Stream, normalise
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.soft import Soft

TRAINING = Training(epochs=3, batch_size=4, lr=0.01)
PART = ConvNetD(depth=2, width=4, norm="batch")
CTX = Context()
STORED = FKD(store=True)


@pytest.fixture
def teacher(info: DatasetInfo) -> Network:
    return freeze_network(Network(build_network(PART, info, 0, CTX), "classifier"), CTX)


@pytest.fixture
def stream(info: DatasetInfo) -> Stream:
    rng = torch.Generator().manual_seed(1)
    return Stream(
        images=torch.randint(0, 256, (10, *info.shape), generator=rng, dtype=torch.uint8),
        labels=torch.arange(10) % 3,
        weights=torch.rand(10, generator=rng) + 0.1,
        info=info,
        augmentation=TRAINING.augmentation,
        batch_size=TRAINING.batch_size,
        seed=7,
    )


def spec_of(info: DatasetInfo, labeller: Any = STORED) -> Relabel:
    views = labeller.asks == "views"
    return Relabel(
        data=data_key(info), labeller=labeller,
        augmentation=TRAINING.augmentation if views else None, epochs=3,
        batch_size=4, seed=7, precision="fp32",
    )  # fmt: skip


def test_stored_logits_are_those_recomputed_on_the_replayed_views(
    info: DatasetInfo, teacher: Network, stream: Stream
) -> None:
    stored, _ = relabel(spec_of(info), stream, [teacher], CTX, Meter("cpu"))
    assert stored.views.shape == (3, 10, 3)
    assert stored.views.dtype == torch.float16
    for epoch in (2, 0, 1):  # in any order: a view is a function of seed, epoch and index
        torch.manual_seed(epoch)
        batches = list(stream.epoch(epoch))
        rows = torch.cat([batch.indices for batch in batches])
        assert torch.equal(stored.rows[epoch], rows)
        again = torch.cat([ask([teacher], batch.images, STORED, CTX) for batch in batches])
        assert torch.equal(stored.views[epoch].float(), again)
        with torch.no_grad():
            exact = torch.cat([teacher.module(batch.images) for batch in batches])
        torch.testing.assert_close(again, exact, rtol=1e-3, atol=1e-3)
    assert not torch.equal(stored.views[0], stored.views[1])
    by_image = torch.empty(3, 10, 3)
    for epoch in range(3):
        by_image[epoch, stored.rows[epoch]] = stored.views[epoch].float()
    assert (by_image[0] - by_image[1]).abs().max() > 1e-3  # another view, not another order


def test_one_batch_at_a_time_is_held(
    info: DatasetInfo, teacher: Network, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All views of an epoch would be 60 GB for ImageNet at 100 images a class."""
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def asked(teachers: Any, images: Tensor, *others: Any) -> Tensor:
        nonlocal most
        alive.append(weakref.ref(images))
        most = max(most, sum(held() is not None for held in alive))
        return ask(teachers, images, *others)

    monkeypatch.setattr("ddbench.pipeline.stages.relabel.ask", asked)
    relabel(spec_of(info), stream, [teacher], CTX, Meter("cpu"))
    assert len(alive) == 9
    assert most <= 2  # the next is made before the last is let go


def test_plain_labels_are_the_teachers_of_the_plain_images(
    info: DatasetInfo, teacher: Network, stream: Stream
) -> None:
    stored, _ = relabel(spec_of(info, Soft()), stream, [teacher], CTX, Meter("cpu"))
    with torch.no_grad():
        expected = teacher.module(normalise(stream.images, info))
    torch.testing.assert_close(stored.logits, expected)


def student(
    info: DatasetInfo, stream: Stream, teacher: Network | None, stored: Any, **changes: Any
) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (9, *info.shape), generator=rng, dtype=torch.uint8)
    data = RealData(info, images, torch.arange(9) % 3, images, torch.arange(9) % 3)
    spec = Evaluate(
        data=data_key(info), student=PART, labeller=FKD(store=stored is not None),
        training=TRAINING, holdout=0.0, holdout_every=0, seed=0, run=0, precision="fp32",
    )  # fmt: skip
    teachers = [] if teacher is None else [teacher]
    (found,) = evaluate([replace(spec, **changes)], data, stream, teachers, stored, CTX)
    assert found.trial is not None
    return found.trial


def test_stored_and_asked_labels_train_the_same_student(
    info: DatasetInfo, teacher: Network, stream: Stream
) -> None:
    stored, _ = relabel(spec_of(info), stream, [teacher], CTX, Meter("cpu"))
    online = student(info, stream, teacher, None)
    replayed = student(info, stream, None, stored)
    assert torch.equal(online.logits, replayed.logits)
    wrong = replace(stored, views=stored.views.roll(1, 1))
    assert not torch.equal(student(info, stream, None, wrong).logits, online.logits)


class SoftHardSoft(Labeller):
    """The teacher's labels at the beginning and the end, the classes in between (HALD)."""

    asks: ClassVar[Literal["nobody", "once", "views"]] = "views"
    seen: ClassVar[list[tuple[int, float]]] = []

    begins: float = 0.3
    ends: float = 0.7
    store: bool = False

    @property
    def stored(self) -> bool:
        return self.store

    def loss(self, student: Tensor, batch: Batch, teacher: Tensor | None) -> Tensor:
        self.seen.append((batch.epoch, batch.progress))
        hard = self.begins <= batch.progress < self.ends
        return (Hard() if hard else FKD()).loss(student, batch, teacher)


@pytest.mark.parametrize("store", [False, True])
def test_labels_can_change_while_a_student_is_trained(
    info: DatasetInfo, teacher: Network, stream: Stream, store: bool
) -> None:
    """Stored labels are replayed under the same schedule."""
    labeller = SoftHardSoft(store=store)
    stored = None
    if store:
        stored, _ = relabel(spec_of(info, labeller), stream, [teacher], CTX, Meter("cpu"))
    asked = None if store else teacher
    labeller.seen.clear()
    changing = student(info, stream, asked, stored, labeller=labeller)
    assert labeller.seen == [(update // 3, update / 9) for update in range(9)]
    always = replace(labeller, begins=1.0)
    soft = student(info, stream, asked, stored, labeller=always)
    assert torch.equal(soft.logits, student(info, stream, asked, stored).logits)
    same = changing.training_loss == soft.training_loss
    assert same.tolist() == [True, False, False]  # the first three of nine updates are in the first


def test_labels_of_other_views_are_noticed(
    info: DatasetInfo, teacher: Network, stream: Stream
) -> None:
    stored, _ = relabel(spec_of(info), stream, [teacher], CTX, Meter("cpu"))
    with pytest.raises(DDBenchError, match="belong to other images"):
        student(info, replace(stream, seed=8), None, stored)


def test_the_key_of_stored_labels_knows_all_that_a_view_depends_on(info: DatasetInfo) -> None:
    spec = spec_of(info)
    plain = PlannedStage("relabel", spec, ("up",)).key
    for change in (
        {"seed": 8}, {"batch_size": 5}, {"epochs": 4}, {"precision": "bf16"},
        {"augmentation": Augmentation(mix="none")},
    ):  # fmt: skip
        assert PlannedStage("relabel", replace(spec, **change), ("up",)).key != plain
    assert PlannedStage("relabel", spec, ("other",)).key != plain


def test_held_out_images_cannot_have_labels_stored_by_view(
    info: DatasetInfo, teacher: Network, stream: Stream
) -> None:
    stored, _ = relabel(spec_of(info), stream, [teacher], CTX, Meter("cpu"))
    with pytest.raises(DDBenchError, match="cannot use labels stored per view") as caught:
        student(info, stream, None, stored, holdout=0.2, holdout_every=1)
    assert "relabel.store=false" in caught.value.hint
