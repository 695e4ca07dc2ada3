"""Inputs of each stage: exactly what its key hashes, so that a stale artifact cannot exist.

The key of an artifact is the hash of its specification and of the keys of the artifacts it is
built from. Where something does not bear on the numbers (device, progress, a part's name, where a
folder lies), it is not here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import ClassVar

from ddbench.api.distiller import Distiller, Preparation
from ddbench.api.recipe import Augmentation, Training
from ddbench.api.roles import (
    Architecture,
    Labeller,
    Looking,
    Matcher,
    Regularizer,
    Statistic,
    Target,
)
from ddbench.api.types import DatasetInfo, Network, Tap
from ddbench.runtime.context import Precision

STAGES = ("squeeze", "statistics", "targets", "prepare", "recover", "relabel", "evaluate")
"""In running order."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data set's content, wherever it lies."""

    identity: ClassVar[str] = "ddbench.stage_specs:DataKey"

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    mirror: bool


@functools.lru_cache(maxsize=16)
def data_key(info: DatasetInfo) -> DataKey:
    """One object for all stages of a data set, whose text in keys is then made once."""
    return DataKey(info.classes, info.shape, info.mean, info.std, info.fingerprint, info.mirror)


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze:
    """Train the teacher."""

    identity: ClassVar[str] = "ddbench.stage_specs:Squeeze"

    data: DataKey
    architecture: Architecture
    training: Training
    seed: int
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One statistic of the real data. Built on: squeeze."""

    identity: ClassVar[str] = "ddbench.stage_specs:Statistics"

    data: DataKey
    statistic: Statistic
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Atoms of every class. Built on: the target's statistic."""

    identity: ClassVar[str] = "ddbench.stage_specs:Targets"

    target: Target
    counts: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Make what a distiller wants ahead of any image, through freshly initialised networks."""

    identity: ClassVar[str] = "ddbench.stage_specs:Prepare"

    data: DataKey
    preparation: Preparation
    architecture: Architecture
    seed: int
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Make the images. Built on: squeeze, statistics, targets and what was prepared, as far as they
    are needed."""

    identity: ClassVar[str] = "ddbench.stage_specs:Recover"

    data: DataKey
    distiller: Distiller
    counts: tuple[int, ...]
    matchers: tuple[tuple[float, Matcher], ...]
    regularizers: tuple[tuple[float, Regularizer], ...]
    seed: int
    precision: Precision

    @property
    def parts(self) -> tuple[Looking, ...]:
        """All that may read statistics and activations."""
        return (*(part for _, part in (*self.matchers, *self.regularizers)), self.distiller)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Statistics that the parts read, each once."""
        return tuple(dict.fromkeys(s for part in self.parts for s in part.statistics))

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """The activations that the parts read."""
        return tuple(tap for part in self.parts for tap in part.taps(network))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverAnew(Recover):
    """Make the images through freshly initialised networks. A kind of its own, so that the keys of
    images made through a teacher, whose architecture its own key holds, stay what they were."""

    identity: ClassVar[str] = "ddbench.stage_specs:RecoverAnew"

    architecture: Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """Ask the teacher ahead of training. Built on: squeeze, recover."""

    identity: ClassVar[str] = "ddbench.stage_specs:Relabel"

    data: DataKey
    labeller: Labeller
    augmentation: Augmentation | None
    """None where only plain images are labelled."""
    epochs: int
    batch_size: int
    seed: int | float
    """Of the views, for the key alone: keys have spelt it as a float since the first release."""
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Train one student. Built on: recover, and squeeze or relabel as the labeller asks."""

    identity: ClassVar[str] = "ddbench.stage_specs:Evaluate"

    data: DataKey
    student: Architecture
    labeller: Labeller
    training: Training
    holdout: float
    holdout_every: int
    seed: int
    run: int
    """Which of the cell's students."""
    precision: Precision
    zca: float = field(default=0.0, metadata={"added": True})
    learned_rate: bool = field(default=False, metadata={"added": True})
    """Whether the set's rate comes in the place of that of the training."""
