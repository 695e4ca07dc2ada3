"""What the numbers of a training and of a protocol may be."""

from __future__ import annotations

from ddbench.api.dsa import parse_strategy
from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation, Protocol, Training


def check_training(training: Training, what: str) -> None:
    """Refuses numbers that no training can have.

    Args:
        training: Of a teacher or a student.
        what: The root of its options, for errors.

    Raises:
        DDBenchError: one is out of range.
    """
    parse_strategy(training.augmentation.one_of)
    for name, least in (("epochs", 1), ("batch_size", 1), ("max_updates", 0), ("lr", 0),
                        ("weight_decay", 0)):  # fmt: skip
        _check(training, name, getattr(training, name) >= least, f"{least} or more", what)
    for name, example in (("weight_ema", "0.99"), ("momentum", "0.9")):
        _check(training, name, 0 <= getattr(training, name) < 1, "0 to below 1", what, example)
    smooth = training.label_smoothing
    _check(training, "label_smoothing", 0 <= smooth <= 1, "0 to 1", what, "0.1")
    warm, expected = training.warmup, "a part of the updates, from 0 to below 1"
    _check(training, "warmup", 0 <= warm < 1, expected, what, "0.1")
    steps = not (training.nesterov and training.optimizer == "sgd") or training.momentum > 0
    _check(training, "nesterov", steps, "a momentum above 0 with it", what, "false")
    _check_augmentation(training.augmentation, f"{what}.augmentation")


def check_protocol(protocol: Protocol) -> None:
    """Refuses numbers that no protocol can have.

    Raises:
        DDBenchError: one is out of range, or belongs to the labeller.
    """
    check_training(protocol.training, "evaluate")
    if protocol.training.label_smoothing:
        raise DDBenchError(
            "evaluate.label_smoothing changes nothing",
            "what students are told is the labeller's",
            hint="--labels hard --set relabel.label_smoothing=0.1",
        )
    held, every = protocol.holdout, protocol.holdout_every
    _check(protocol, "holdout", 0 <= held < 1, "0 to below 1", "evaluate", "0.2")
    _check(protocol, "holdout_every", every >= 1 or not held, "1 or more", "evaluate")


def _check_augmentation(view: Augmentation, what: str) -> None:
    (small, large), (flat, wide) = view.crop, view.ratio
    _check(view, "crop", 0 < small <= large <= 1, "0 < smallest <= largest <= 1", what)
    _check(view, "ratio", 0 < flat <= wide, "0 < smallest <= largest", what)
    _check(view, "mix_alpha", view.mix_alpha > 0, "above 0", what, "1")


def _check(
    owner: object, name: str, allowed: bool, expected: str, what: str, example: str = "..."
) -> None:
    if not allowed:
        raise DDBenchError(
            f"{what}.{name} is {getattr(owner, name)}", f"expected: {expected}",
            hint=f"--set {what}.{name}={example}",
        )  # fmt: skip
