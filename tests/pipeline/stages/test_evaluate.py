"""What a student must be before anything is read off it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.recipe import Augmentation, Training
from ddbench.api.types import Batch, DatasetInfo
from ddbench.data.real import RealData
from ddbench.pipeline.specs import Evaluate, data_key
from ddbench.pipeline.stages.evaluate import Student, evaluate
from ddbench.runtime.context import Context
from ddbench.training.batches import Stream
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.labellers.hard import Hard
from ddbench_plugins.labellers.learned import Learned

PLAIN = Augmentation(crop=(1.0, 1.0), flip=False, mix="none")


def _student(info: DatasetInfo, **options: float) -> Student:
    rng = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (9, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(9) % 3
    training = Training(batch_size=9, optimizer="sgd", augmentation=PLAIN, **options)
    stream = Stream(
        images=images, labels=labels, weights=torch.ones(9), info=info,
        augmentation=PLAIN, batch_size=9, seed=7,
    )  # fmt: skip
    spec = Evaluate(
        data=data_key(info), student=ConvNetD(depth=2, width=4, norm="instance"), labeller=Hard(),
        training=training, holdout=0.0, holdout_every=0, seed=0, run=0, precision="fp32",
    )  # fmt: skip
    data = RealData(info, images, labels, images, labels)
    (found,) = evaluate([spec], data, stream, [], None, Context())
    return found


def test_a_student_whose_last_step_broke_it_has_failed(info: DatasetInfo) -> None:
    """Its loss was finite at every update, and argmax would take its logits for the first class."""
    assert _student(info, epochs=1, lr=0.01).fault is None
    broken = _student(info, epochs=1, lr=1e38)
    assert broken.trial is None
    assert isinstance(broken.fault, DivergedError)


def _evaluated(info: DatasetInfo, rate: float | None = None, **changes: Any) -> Student:
    """A student of labels that contradict the classes: only what it is told decides."""
    rng = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (9, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(9) % 3
    learned = torch.eye(3)[(labels + 1) % 3]
    stream = Stream(
        images=images, labels=labels, weights=torch.ones(9), info=info, augmentation=PLAIN,
        batch_size=9, seed=7, learned=learned,
    )  # fmt: skip
    training = Training(epochs=40, batch_size=9, lr=0.01, augmentation=PLAIN)
    spec = Evaluate(
        data=data_key(info), student=ConvNetD(depth=2, width=8, norm="instance"),
        labeller=Learned(), training=training, holdout=0.0, holdout_every=1, seed=0, run=0,
        precision="fp32",
    )  # fmt: skip
    data = RealData(info, images, labels, images, labels)
    spec = replace(spec, **changes)
    (student,) = evaluate([spec], data, stream, [], None, Context(), rate=rate)
    return student


def test_students_learn_the_labels_that_came_with_the_images(info: DatasetInfo) -> None:
    student = _evaluated(info)
    assert student.trial is not None
    assert torch.equal(student.trial.logits.argmax(1), (student.trial.labels + 1) % 3)


class Looking(Learned):
    """Checks that labels are those of the images shown."""

    def loss(self, student: Tensor, batch: Batch, teacher: Tensor | None) -> Tensor:
        assert batch.learned is not None
        assert torch.equal(batch.learned[batch.indices].argmax(1), (batch.labels + 1) % 3)
        return super().loss(student, batch, teacher)


@pytest.mark.parametrize("holdout", [0.0, 0.4])
def test_held_out_images_take_their_labels_with_them(info: DatasetInfo, holdout: float) -> None:
    student = _evaluated(info, holdout=holdout, labeller=Looking())
    assert student.fault is None


def test_a_learned_rate_takes_the_place_of_the_trainings(info: DatasetInfo) -> None:
    training = Training(epochs=2, batch_size=9, lr=0.3, augmentation=PLAIN)
    expected = _evaluated(info, training=training)
    unset = replace(training, lr=0.0)
    student = _evaluated(info, 0.3, training=unset, learned_rate=True)
    other = _evaluated(info, 0.2, training=unset, learned_rate=True)
    logits = [each.trial.logits for each in (expected, student, other) if each.trial]
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])
    with pytest.raises(DDBenchError, match="the images came without a learned rate"):
        _evaluated(info, learned_rate=True)
