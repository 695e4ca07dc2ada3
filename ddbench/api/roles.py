"""Roles of plug-ins: one base class each, with defaults for all that a part may leave out.

A part is a frozen dataclass: its base class makes it one. Its fields are its options and, together
with its identity and `version`, its cache key; its methods are pure. `class Mean(Matcher)` with
`layer: str = ""` and a `loss` is a whole matcher. A plain frozen dataclass that has the members of
its role serves as well: it is given the defaults when it is loaded. Distillers are in
`ddbench.api.distiller`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int, UInt8

from ddbench.api.errors import DDBenchError
from ddbench.api.options import Options
from ddbench.api.types import (
    Activations,
    Atoms,
    Batch,
    DatasetInfo,
    Metric,
    Network,
    Step,
    Tap,
    Tensors,
    Trial,
)

if TYPE_CHECKING:  # these two import this module
    from ddbench.api.distilled_set import PortableSet
    from ddbench.api.distiller import Problem
    from ddbench.api.labelled_views import StoredViews


REQUIRED = object()
"""Stands for what a part has to bring."""


class Part(Options):
    """Anything that a plug-in provides: a frozen dataclass of options, with a version.

    A subclass is refused where it has a public member that is no option and nearly one of the
    contract's: `seperable` would otherwise be ignored. Helpers begin with an underscore.
    """

    version: ClassVar[int] = 1
    """Raise it when equal options come to mean other numbers."""
    argument: ClassVar[str] = ""
    """Option that follows a colon: with "path", `folder:PATH` is the part `folder` of that path.
    Data sets and architectures may have one."""

    def __init_subclass__(cls, kw_only: bool = False, **rest: Any) -> None:
        super().__init_subclass__(kw_only=kw_only, **rest)
        refuse_misspelt_members(cls)


def members_of(role: type) -> dict[str, Any]:
    """Returns the public members that ddbench defines for a class and its bases, as written there.

    Those that a part has to bring are `REQUIRED`: abstract methods, and attributes without a value.
    """
    members: dict[str, Any] = {}
    for base in reversed(role.__mro__):
        if base.__module__.startswith("ddbench.api."):
            members |= dict.fromkeys(vars(base).get("__annotations__", {}), REQUIRED) | vars(base)
    return {
        name: REQUIRED if is_abstract(value) else value
        for name, value in members.items()
        if not name.startswith("_")
    }


def refuse_misspelt_members(kind: type) -> None:
    """Checks the public members of a new class of parts against those that its role knows.

    Raises:
        DDBenchError: one that is no option is nearly the name of one that the role has.
    """
    known = members_of(kind)
    own = {**vars(kind).get("__annotations__", {}), **vars(kind)}
    options = {option.name for option in fields(kind)}
    for name in sorted(own.keys() - known.keys() - options):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if close and not name.startswith("_"):
            raise DDBenchError(
                f"{kind.__name__} has a member '{name}', which its role does not know",
                hint=f"did you mean '{close[0]}'? A helper of your own begins with an underscore",
            )


@functools.cache
def complete(kind: type, role: type) -> tuple[str, ...]:
    """Gives a plain class, one that does not derive from its role, the role's defaults.

    Args:
        kind: The class of a part, changed in place.
        role: Its base class in this package.

    Returns:
        Members that the role requires and the class lacks.
    """
    options = {option.name for option in fields(kind)}
    lacking = []
    for name, default in members_of(role).items():
        own = inspect.getattr_static(kind, name, REQUIRED)
        if name in options or not (own is REQUIRED or is_abstract(own)):
            continue
        if default is REQUIRED:
            lacking.append(name)
        else:
            setattr(kind, name, default)
    return tuple(sorted(lacking))


def is_abstract(member: object) -> bool:
    """Tells whether a member is one that a part has to write."""
    return bool(getattr(member, "__isabstractmethod__", False))


class Statistic(Part):
    """Something that one pass over the real training data computes.

    All statistics that are wanted share one pass. Equal statistics share one artifact.
    """

    @abstractmethod
    def taps(self, network: Network) -> tuple[Tap, ...]:
        """Returns the activations that `update` reads."""

    @abstractmethod
    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        """Returns the empty state."""

    @abstractmethod
    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        """Returns the state after one more batch; classes come mixed and in any order.

        May change the tensors of `state`: nobody else looks at them again.
        """

    @abstractmethod
    def finish(self, state: Tensors) -> Tensors:
        """Returns what regularizers, matchers and targets receive."""


class Target(Part):
    """Finds, once per class, the points that the images of the class are drawn to."""

    @property
    @abstractmethod
    def statistic(self) -> Statistic:
        """Statistic that holds the `features` [n d] and `labels` [n] to start from."""

    @abstractmethod
    def atoms(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Atoms:
        """Finds `count` atoms for the features of one class. Several threads may ask at once."""


class Looking(Part):
    """A part that looks at images through a teacher: what it reads, nothing unless it says so."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Statistics of the real data that it reads, beside those of its target."""
        return ()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """Returns the activations that it reads.

        Raises:
            IncompatibleError: the network lacks what the part looks at.
        """
        return ()


class Loss(Looking):
    """A term of the objective."""

    @property
    def separable(self) -> bool:
        """True if it is a sum over classes of what each class gives by itself, without draws."""
        return False


class Matcher(Loss):
    """A loss that pulls synthetic features towards real ones."""

    @property
    def target(self) -> Target | None:
        """Finds the atoms that `step.atoms` holds; None for a loss without any."""
        return None

    @abstractmethod
    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns the loss of one step."""


class Regularizer(Loss):
    """A penalty that keeps synthetic images plausible."""

    @abstractmethod
    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns the penalty of one step."""

    def remember(self, step: Step) -> Tensors:
        """Returns what `step.memory` holds at the next step of the same images and teacher.

        Tensors without a gradient, such as moving averages; nothing by default.
        """
        return {}


class Labeller(Part):
    """Decides what a student is told about the images that it sees."""

    asks: ClassVar[Literal["nobody", "once", "views"]] = "nobody"
    """"nobody": labels are the classes, or came with the images. "once": the teacher sees each
    plain image, once. "views": the teacher sees every augmented, mixed batch of every epoch."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Subset of {"labels"}: what the distiller has to have learned, found in `batch.learned`."""

    @property
    def stored(self) -> bool:
        """True if answers about "views" are written by relabel, not asked while training."""
        return False

    @property
    def views(self) -> StoredViews | None:
        """Views that students are shown instead of those that the protocol would draw.

        `batch.answers` is then what was stored with them.
        """
        return None

    @property
    def kept_bytes(self) -> int:
        """Bytes of labels that came with the images, besides their classes."""
        return 0

    def combined(self, answers: Float[torch.Tensor, "e b k"]) -> Float[torch.Tensor, "b k"]:
        """Makes one answer of the logits of several teachers: their mean."""
        return answers.mean(0)

    @abstractmethod
    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns the training loss of one batch. Several students may ask at once, in threads.

        Args:
            student: Logits.
            batch: What was shown, and how much of the training lies behind.
            teacher: None ("nobody"), logits of every plain image [n k] ("once"), or the logits of
                this batch [b k] ("views").
        """


class Evaluator(Part):
    """Reads numbers off a finished student or distilled set; never trains, never selects."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Subset of {"features", "images", "student"}: what it asks of a Trial."""
    metrics: ClassVar[tuple[Metric, ...]]
    """The numbers that it reports."""

    @abstractmethod
    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns a number for each metric; one that has no meaning here may be left out."""


class Dataset(Part):
    """Real data: its description, and its images in a fixed order."""

    default_ipc: ClassVar[int] = 10
    """Images per class where the user names none."""

    resolution: Annotated[int, Ge(0)] = field(default=0, kw_only=True)
    """Pixels a side; 0 for the images' own."""

    @abstractmethod
    def info(self, root: Path | None) -> DatasetInfo:
        """Describes classes, shape, counts and fingerprint, without decoding images.

        Raises:
            DDBenchError: the data is not there or not in the expected layout.
        """

    @abstractmethod
    def read(
        self, split: Literal["train", "test"], root: Path | None
    ) -> Iterator[tuple[UInt8[torch.Tensor, "b c h w"], Int[torch.Tensor, " b"]]]:
        """Yields decoded images and classes of a split in a fixed order, in chunks."""

    def prepare(self, root: Path | None, download: bool = False) -> list[str]:
        """Puts the data where `read` looks for it (`ddbench data prepare`); returns what was done.

        Raises:
            DDBenchError: the data is not there and may not be downloaded, or cannot be.
        """
        return []

    def verify(self, root: Path | None) -> list[str]:
        """Compares the files with what is expected (`ddbench data verify`); returns the faults."""
        return []


class Architecture(Part):
    """A family of networks, built for a data set's classes and resolution."""

    warmup: ClassVar[float] = 0.0
    """Part of the updates over which the learning rate has to rise for such a network to learn, as
    it has to for transformers."""

    @abstractmethod
    def build(self, info: DatasetInfo) -> torch.nn.Module:
        """Builds a freshly initialised network (from torch's global generator)."""

    @abstractmethod
    def classifier(self, module: torch.nn.Module) -> str:
        """Returns the name of the module whose input holds the features."""


class SetFormat(Part):
    """A layout on disk in which distilled sets are handed on, ddbench's own or another program's.

    `read` and `write` raise a DDBenchError that is one clear sentence; nothing that a file holds is
    ever executed. What a layout has no place for goes into a sidecar
    (`ddbench.api.distilled_set.sidecar`), so that what was written is read again exactly.
    """

    layout: ClassVar[str]
    """What is looked for, in a line: `images_best.pt and labels_best.pt in a folder`."""

    @abstractmethod
    def detect(self, path: Path) -> bool:
        """Tells from names alone whether a file or folder looks like this layout."""

    @abstractmethod
    def read(self, path: Path) -> PortableSet:
        """Reads a set, in the space of pixels in which it was found.

        Raises:
            DDBenchError: it is not of this layout, damaged, or unsafe to load.
        """

    @abstractmethod
    def write(self, distilled: PortableSet, path: Path) -> None:
        """Writes a set to a path that does not exist yet; the caller renames it when it is whole.

        Raises:
            DDBenchError: the layout cannot hold this set without loss.
        """


class Pretraining(Part):
    """Trains a network without labels, before its classifier is trained on the frozen rest."""

    @abstractmethod
    def updates(self, count: int) -> int:
        """Returns how often `problem.tick` will be called for so many training images."""

    @abstractmethod
    def pretrain(self, problem: Problem, network: Network) -> None:
        """Trains a network in place; it is in train mode, and its weights are trainable.

        Args:
            problem: Real images, of which this stage gives no labels.
            network: Freshly initialised.
        """
