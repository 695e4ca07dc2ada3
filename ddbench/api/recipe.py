"""Frozen values that say what is to be run: training, protocol and recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Gt, Interval

from ddbench.api.card import Claim as Claim
from ddbench.api.card import MethodCard
from ddbench.api.card import Provenance as Provenance
from ddbench.api.distiller import Distiller
from ddbench.api.dsa import parse_strategy
from ddbench.api.errors import DDBenchError
from ddbench.api.options import Options, Rule
from ddbench.api.roles import (
    Architecture,
    Labeller,
    Matcher,
    Pretraining,
    Regularizer,
)

Fraction: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
Areas: TypeAlias = Annotated[
    tuple[float, float],
    Rule(lambda crop: 0 < crop[0] <= crop[1] <= 1, "0 < smallest <= largest <= 1"),
]
"""Smallest and largest part of an image's area."""
Ratios: TypeAlias = Annotated[
    tuple[float, float], Rule(lambda ratio: 0 < ratio[0] <= ratio[1], "0 < smallest <= largest")
]
"""Smallest and largest width to height."""


class Augmentation(Options, kw_only=True):
    """How training images are varied: one random resized crop, flip and mix a view."""

    identity: ClassVar[str] = "ddbench.spec:Augmentation"

    crop: Areas = (0.08, 1.0)
    """Smallest and largest part of the image's area that a crop keeps; (1, 1) for none."""
    ratio: Ratios = (0.75, 1.3333333333333333)
    """Smallest and largest width to height of a crop."""
    flip: bool = True
    """Mirror half of the images, where the data set allows it."""
    mix: Literal["none", "cutmix", "mixup"] = "cutmix"
    mix_alpha: Annotated[float, Gt(0)] = 1.0
    """Beta(alpha, alpha) draws the share of the partner image."""
    one_of: str = field(default="", metadata={"added": True})
    """Operations joined by `_`, of which each batch gets one, with parameters of its own for every
    image: `color_crop_cutout_flip_scale_rotate` (`ddbench.api.dsa`); "" for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_strategy(self.one_of)


class Training(Options, kw_only=True):
    """How a network is trained."""

    identity: ClassVar[str] = "ddbench.spec:Training"

    epochs: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)] = 100
    max_updates: Annotated[int, Ge(0)] = 0
    """At most so many optimiser steps, over which the schedule runs; 0 for no limit. A training
    that it cuts is annealed by update, whatever `annealed` says."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Ge(0)] = 1e-3
    momentum: Fraction = 0.9
    """SGD's momentum, or Adam's first beta."""
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0)] = 0.01
    """On weights of two and more dimensions; biases and normalisation are left alone."""
    schedule: Literal["cosine", "onecycle", "constant", "halfway", "half_cosine"] = "cosine"
    """"cosine" falls to 0, "half_cosine" to half of the rate, "onecycle" rises for 30 % of the
    updates, then falls to 0; "halfway" goes on with a tenth, and without the momentum gathered so
    far, in the second half."""
    weight_ema: Fraction = field(default=0.0, metadata={"added": True})
    """Share of what was before in a moving average of the weights, which is what is kept of the
    training; 0 for the weights themselves. Running statistics are not averaged."""
    label_smoothing: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Smoothing of the classes that a teacher learns; students have their labeller's."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    annealed: Literal["epoch", "update"] = field(default="epoch", metadata={"added": True})
    """When "cosine", "half_cosine" and "halfway" move on."""
    warmup: Fraction = field(default=0.0, metadata={"added": True})
    """Part of the updates over which the rate rises, straight, to what the schedule says."""

    def check(self, what: str) -> None:
        """Checks options that may only be set together, once all of them are.

        Args:
            what: Root of the options, for errors.

        Raises:
            DDBenchError: they contradict each other.
        """
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise DDBenchError(
                f"{what}.nesterov is True",
                "expected: a momentum above 0 with it",
                hint=f"--set {what}.nesterov=false",
            )


class LinearProbe(Training, kw_only=True):
    """A teacher whose backbone is trained without labels and then frozen, running statistics and
    all; the other options are those of its classifier, which is trained on top. For squeeze only.
    """

    identity: ClassVar[str] = "ddbench.spec:LinearProbe"

    pretraining: Pretraining


class Protocol(Options, kw_only=True):
    """A frozen, versioned way to train a student and to judge it. Never the test data's choice."""

    identity: ClassVar[str] = "ddbench.spec:Protocol"

    name: str
    training: Training
    holdout: Fraction = 0.0
    """Part of the distilled images held out to choose the epoch when the student's architecture is
    not the teacher's; 0: the last epoch counts."""
    holdout_every: int = 10
    """Epochs between looks at the held-out part."""
    warmup: bool = field(default=False, metadata={"added": True})
    """Give a warm-up to networks whose architecture asks for one."""
    zca: Annotated[float, Ge(0)] = field(default=0.0, metadata={"added": True})
    """Students see ZCA-whitened images, those of the test data too, by the statistics of the
    training images: what is added to every eigenvalue, 0.1 in MTT's code; 0 for no whitening."""
    learned_rate: bool = field(default=False, metadata={"added": True})
    """Train students at the rate that the distiller learned instead of `lr`."""

    def check(self) -> None:
        """Checks options that may only be set together, once all of them are.

        Raises:
            DDBenchError: they contradict each other, or one belongs to the labeller.
        """
        self.training.check("evaluate")
        if self.training.label_smoothing:
            raise DDBenchError(
                "evaluate.label_smoothing changes nothing",
                "what students are told is the labeller's",
                hint="--labels hard --set relabel.label_smoothing=0.1",
            )
        if self.holdout and self.holdout_every < 1:
            raise DDBenchError(
                f"evaluate.holdout_every is {self.holdout_every}",
                "expected: 1 or more",
                hint="--set evaluate.holdout_every=10",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherTerm:
    """A matcher of a recipe, with its weight."""

    identity: ClassVar[str] = "ddbench.spec:MatcherTerm"

    name: str
    weight: float
    part: Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularizerTerm:
    """A regularizer of a recipe, with its weight."""

    identity: ClassVar[str] = "ddbench.spec:RegularizerTerm"

    name: str
    weight: float
    part: Regularizer


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedArchitecture:
    """An architecture, and how it was named."""

    identity: ClassVar[str] = "ddbench.spec:NamedArchitecture"

    name: str
    part: Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method: a composition of parts with their settings, and what is known of it.

    Fields of the card may be given by themselves, as they were before there were cards:
    `Recipe(title="WMDD", claims=(...), ...)`. A recipe without a card has its name as title.
    """

    name: str
    card: MethodCard = field(default_factory=MethodCard)
    """Title, paper, licence and published figures; in no key."""
    squeeze: Training
    """How the teacher is trained."""
    label_squeeze: Training | None = None
    """How the teacher that is asked for labels is trained, if it is another one."""
    matchers: tuple[MatcherTerm, ...] = ()
    regularizers: tuple[RegularizerTerm, ...] = ()
    distiller: Distiller
    labeller: Labeller
    companions: tuple[NamedArchitecture, ...] = ()
    """Teachers besides the cell's own, trained as it is. Images are made through all of them where
    the distiller needs the objective, and all of them are asked for labels."""
    baseline: bool = False
    """A reference row that belongs into every leaderboard."""
    profiles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Named sizes: options that `--profile NAME` changes, in the grammar of `--set`. `smoke` runs
    the method from end to end in a few steps; its numbers mean nothing."""
    teacher: str = ""
    """Architecture that images are made through where the user names none; "" for the default of
    all methods. For a method that the default cannot serve."""


_make = Recipe.__init__
_WORDS = {item.name for item in fields(MethodCard)}


def _make_with_card(
    self: Recipe, *, name: str, card: MethodCard | None = None, **options: Any
) -> None:
    """Puts words that were given to the recipe itself on its card."""
    words = {word: options.pop(word) for word in _WORDS & options.keys()}
    if words or card is None:
        card = replace(card or MethodCard(title=name), **words)
    _make(self, name=name, card=card, **options)


# Type checkers know the fields alone: new recipes have a card.
Recipe.__init__ = _make_with_card  # type: ignore[method-assign]
