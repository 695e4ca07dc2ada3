"""Numbers that no training and no protocol can have."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Protocol, Training
from ddbench.config.ranges import check_protocol, check_training

TRAINING = Training(epochs=2)
NAN = float("nan")

TRAININGS = [
    ({"epochs": 0}, "evaluate.epochs is 0"),
    ({"lr": -0.1}, "evaluate.lr is -0.1"),
    ({"lr": NAN}, "evaluate.lr is nan"),
    ({"weight_decay": -1.0}, "evaluate.weight_decay is -1.0"),
    ({"momentum": 1.0}, "evaluate.momentum is 1.0"),
    ({"momentum": 0.0, "nesterov": True, "optimizer": "sgd"}, "evaluate.nesterov is True"),
    ({"label_smoothing": 1.5}, "evaluate.label_smoothing is 1.5"),
    ({"warmup": 1.0}, "evaluate.warmup is 1.0"),
    ({"augmentation": Augmentation(crop=(0.5, 2.0))}, "evaluate.augmentation.crop is (0.5, 2.0)"),
    ({"augmentation": Augmentation(crop=(0.0, 1.0))}, "evaluate.augmentation.crop is (0.0, 1.0)"),
    ({"augmentation": Augmentation(ratio=(2.0, 1.0))}, "evaluate.augmentation.ratio is (2.0, 1.0)"),
    ({"augmentation": Augmentation(mix_alpha=0.0)}, "evaluate.augmentation.mix_alpha is 0.0"),
    ({"augmentation": Augmentation(one_of="colour")}, "no operation 'colour'"),
]


@pytest.mark.parametrize(("change", "said"), TRAININGS, ids=[said for _, said in TRAININGS])
def test_a_training_out_of_range_is_one_sentence(change, said):
    with pytest.raises(DDBenchError, match=re.escape(said)) as caught:
        check_training(replace(TRAINING, **change), "evaluate")
    assert caught.value.hint
    assert caught.value.facts


PROTOCOLS = [
    ({"holdout": 1.5}, "evaluate.holdout is 1.5"),
    ({"holdout": 0.2, "holdout_every": 0}, "evaluate.holdout_every is 0"),
    ({"training": replace(TRAINING, label_smoothing=0.1)}, "evaluate.label_smoothing changes no"),
    ({"training": replace(TRAINING, batch_size=0)}, "evaluate.batch_size is 0"),
]


@pytest.mark.parametrize(("change", "said"), PROTOCOLS, ids=[said for _, said in PROTOCOLS])
def test_a_protocol_out_of_range_is_one_sentence(change, said):
    with pytest.raises(DDBenchError, match=re.escape(said)):
        check_protocol(replace(Protocol(name="p", training=TRAINING), **change))


def test_numbers_at_the_borders_are_taken():
    view = Augmentation(crop=(1.0, 1.0), ratio=(1.0, 1.0), mix_alpha=0.1)
    training = Training(
        epochs=1, batch_size=1, lr=0.0, momentum=0.0, weight_decay=0.0, augmentation=view
    )
    check_protocol(Protocol(name="p", training=training, holdout_every=0))
    check_training(replace(training, label_smoothing=1.0), "squeeze")
