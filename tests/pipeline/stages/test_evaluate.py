"""What a student must be before anything is read off it."""

from __future__ import annotations

import torch

from ddbench.api.errors import DivergedError
from ddbench.api.recipe import Augmentation, Training
from ddbench.api.types import DatasetInfo
from ddbench.data.real import RealData
from ddbench.pipeline.specs import Evaluate, data_key
from ddbench.pipeline.stages.evaluate import Student, evaluate
from ddbench.runtime.context import Context
from ddbench.training.batches import Stream
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.labellers.hard import Hard

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
