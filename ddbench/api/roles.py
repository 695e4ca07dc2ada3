"""What a plug-in can be: one protocol a role.

A part is a frozen dataclass. Its fields are its options and, together with its import path and
`version`, its cache key; its methods are pure. No base class is needed. Raise `version` when the
same options come to mean other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int, UInt8

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

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from ddbench.api.distilled_set import PortableSet


class Part(Protocol):
    """Anything that a plug-in provides: a frozen dataclass with a version."""

    version: ClassVar[int]


@runtime_checkable
class Statistic(Part, Protocol):
    """Something that one pass over the real training data computes.

    All statistics that are wanted share one pass. Equal statistics share one artifact.
    """

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """The activations that `update` reads."""
        ...

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        """The empty state."""
        ...

    def update(self, state: Tensors, acts: Activations, labels: Int[Tensor, " b"]) -> Tensors:
        """The state after one more batch; classes come mixed and in any order.

        May change the tensors of `state`: nobody else looks at them again.
        """
        ...

    def finish(self, state: Tensors) -> Tensors:
        """What regularizers, matchers and targets receive."""
        ...


@runtime_checkable
class Target(Part, Protocol):
    """Finds, once per class, the points that the images of the class are drawn to."""

    @property
    def statistic(self) -> Statistic:
        """What holds the `features` [n d] and `labels` [n] to start from."""
        ...

    def atoms(self, features: Float[Tensor, "n d"], count: int, rng: Generator) -> Atoms:
        """`count` atoms for the features of one class. Classes may be found side by side."""
        ...


@runtime_checkable
class Matcher(Part, Protocol):
    """A loss that pulls synthetic features towards real ones.

    `separable: bool` may say that it is a sum over classes of what each class's images give alone,
    without draws; a matcher that says nothing is not. The same goes for regularizers.
    """

    @property
    def target(self) -> Target | None: ...

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What `loss` reads of `step.known`, besides what the target needs."""
        ...

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """The activations that `loss` reads."""
        ...

    def loss(self, step: Step) -> Float[Tensor, ""]: ...


@runtime_checkable
class Regularizer(Part, Protocol):
    """A penalty that keeps synthetic images plausible.

    It may have one method more, `remember(step) -> Tensors`: what `step.memory` holds at the next
    step of the same group of images with the same teacher, such as a moving average.
    """

    @property
    def statistics(self) -> tuple[Statistic, ...]: ...

    def taps(self, network: Network) -> tuple[Tap, ...]:
        """The activations that `penalty` reads.

        Raises:
            IncompatibleError: the network lacks what the penalty looks at.
        """
        ...

    def penalty(self, step: Step) -> Float[Tensor, ""]: ...


class Forward(Protocol):
    """A forward pass of a network that reports what taps ask for."""

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Activations: ...

    def close(self) -> None:
        """Takes out of the network what taps have put there; for networks that are used again."""
        ...


class Problem(Protocol):
    """What a distiller is given."""

    info: DatasetInfo
    labels: Int[Tensor, " n"]
    """The class of every image to make."""
    device: Any
    separable: bool
    """Whether the objective is a sum over classes, and no class bears on another's images."""
    teachers: Sequence[Callable[[Float[Tensor, "b c h w"]], Activations]]
    """Frozen, probed networks, the cell's own first; empty unless the distiller needs a teacher,
    one unless it needs the objective."""
    prepared: Sequence[Tensor]
    """The pieces of the distiller's `preparation`, in order, on the CPU."""
    known: Mapping[Any, Tensors]
    """What the statistics stage found through the first teacher, by Statistic: all that the
    distiller declares is there."""

    def rng(self, *names: object) -> Generator:
        """A CPU generator that depends on the cell's seed and these names alone."""
        ...

    def real(self, cls: int) -> Float[Tensor, "n c h w"]:
        """Normalised training images of one class."""
        ...

    def real_indices(self, cls: int) -> Int[Tensor, " n"]:
        """Where the training images of one class lie in the training set."""
        ...

    def real_batch(self, cls: int, count: int, rng: Generator) -> Float[Tensor, "b c h w"]:
        """Normalised training images of one class, drawn without replacement.

        As many as the class has, if `count` is more. Only these are read.
        """
        ...

    def fresh_network(self, *names: object) -> Network:
        """A newly initialised network of the cell's architecture (that of its teacher).

        In train mode, its weights trainable, a function of the cell's seed and these names alone.

        Raises:
            DDBenchError: "networks" is not among the distiller's `needs`.
        """
        ...

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Forward:
        """A forward pass of `network`, in the cell's precision, that reports what taps ask for."""
        ...

    def objective(
        self,
        images: Float[Tensor, "b c h w"],
        indices: Int[Tensor, " b"],
        progress: float,
        teacher: int | None = None,
    ) -> Float[Tensor, ""]:
        """Matchers plus weighted regularizers for augmented images.

        Call it once per iteration: regularizers may remember what they saw.

        Args:
            images: Normalised.
            indices: Which of the images to make they show.
            progress: 0 at the first iteration, 1 at the last.
            teacher: Number of the one to look through; None for the mean over all of them.
        """
        ...

    def normalise(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]: ...

    def pixel_range(self) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
        """Lowest and highest normalised value of each channel."""
        ...

    def room_for(self, work: Callable[[], object]) -> float:
        """How often what `work` keeps in memory would fit into what is free; runs it once."""
        ...

    def tick(self, loss: Float[Tensor, ""] | None = None) -> None:
        """Told once per iteration: progress, seconds per iteration, finiteness."""
        ...


@runtime_checkable
class Distiller(Part, Protocol):
    """Makes the images: by optimising pixels, or by selecting real ones.

    It may have members more. `exact: bool` says that images are stored as float32 and may leave the
    range of pixels; without it they are clamped and rounded to bytes. `shown: int` says how many
    images students are shown for each one that is kept, where images hold several in parts:
    `counts` and `recover` speak of those that are shown, IPC and bytes of those that are kept;
    `shown_of` reads it. If it needs a teacher,
    `statistics`, what it reads of `problem.known`, and `taps(network)`, what the activations of
    `problem.teachers` hold, mean what they mean in a Matcher; `statistics_of` and `taps_of` read
    them. `preparation`, for a distiller that needs networks, is what is made ahead once for all
    seeds (`ddbench.api.preparation`); `problem.prepared` holds it. `fitted(problem, labels)`
    returns the distiller with what it leaves to the machine decided, such as a batch size; called
    before `batches`. No number may depend on it but by rounding, for the cache does not know of it.
    """

    needs: ClassVar[frozenset[str]]
    """Subset of {"teacher", "objective", "networks"}; decides which stages a plan has. "networks":
    freshly initialised ones, for which nothing is trained. Matchers and regularizers bear on a
    distiller that needs the objective, and on no other."""
    makes: ClassVar[Literal["pixels", "indices"]]
    """"pixels": `recover` returns normalised images; "indices": rows of the training set."""

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        """How many images of each class."""
        ...

    def batches(self, labels: Int[Tensor, " n"]) -> list[Int[Tensor, " b"]]:
        """How the images are divided: each group is recovered on its own, in this order.

        A group is the unit of resuming and of sharding; its numbers must not depend on others.
        """
        ...

    def recover(self, problem: Problem, indices: Int[Tensor, " b"]) -> Tensor:
        """One group: [b c h w] normalised images, or [b] indices, as `makes` says."""
        ...

    def iterations_of(self, problem: Problem, indices: Int[Tensor, " b"]) -> int:
        """How often `problem.tick` will be called for a group, for the progress bar."""
        ...


def shown_of(distiller: Distiller) -> int:
    """Images that students are shown for each that is kept; a distiller need not say that it is
    one."""
    return int(getattr(distiller, "shown", 1))


def statistics_of(part: Part) -> tuple[Statistic, ...]:
    """What a part reads of the statistics stage; a distiller need not say that it reads nothing."""
    return tuple(getattr(part, "statistics", ()))


def taps_of(part: Part, network: Network) -> tuple[Tap, ...]:
    """The activations that a part reads; a distiller need not say that it reads none."""
    return tuple(part.taps(network)) if hasattr(part, "taps") else ()


@runtime_checkable
class Labeller(Part, Protocol):
    """What a student is told about the images it sees.

    It may have one method more, `combined(answers: Float[Tensor, "e b k"]) -> Float[Tensor,
    "b k"]`: how the logits of an ensemble of teachers become one answer; their mean without it. And
    a property `views: StoredViews`: what students are shown, instead of what the protocol would
    draw; `batch.answers` is then what was stored with them.
    """

    asks: ClassVar[Literal["nobody", "once", "views"]]
    """"nobody": labels are the classes, or came with the images. "once": the teacher sees each
    plain image, once. "views": the teacher sees every augmented, mixed batch of every epoch."""

    @property
    def stored(self) -> bool:
        """With "views": answers are written by the relabel stage, not asked while training."""
        ...

    def loss(
        self, student: Float[Tensor, "b k"], batch: Batch, teacher: Float[Tensor, "_ k"] | None
    ) -> Float[Tensor, ""]:
        """Training loss of one batch. Several students may ask at once, each in its own thread.

        Args:
            student: Logits.
            batch: What was shown.
            teacher: None ("nobody"), logits of every plain image [n k] ("once"), or the logits of
                this batch [b k] ("views").
        """
        ...


@runtime_checkable
class Evaluator(Part, Protocol):
    """Reads numbers off a finished student or distilled set; never trains, never selects.

    An optional class attribute `needs: frozenset[str]` may hold "features" (the teacher's features
    of real and distilled images: `trial.features()`), "images" (`trial.distilled()`) and "student"
    (its answers to other images: `trial.student(images)`, `trial.test_images()`).
    """

    metrics: ClassVar[tuple[Metric, ...]]

    def evaluate(self, trial: Trial) -> Mapping[str, float]: ...


@runtime_checkable
class Dataset(Part, Protocol):
    """Real data. `resolution` is a field: 0 means the images' own."""

    @property
    def resolution(self) -> int: ...

    def info(self, root: Path | None) -> DatasetInfo:
        """Classes, shape, counts and fingerprint, without decoding images.

        Raises:
            DDBenchError: the data is not there or not in the expected layout.
        """
        ...

    def read(
        self, split: Literal["train", "test"], root: Path | None
    ) -> Iterator[tuple[UInt8[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """Decoded images of a split in a fixed order, in chunks."""
        ...


@runtime_checkable
class Architecture(Part, Protocol):
    """A family of networks, built for a data set's classes and resolution.

    An optional class attribute `warmup: float` is the part of the updates over which the learning
    rate has to rise for such a network to learn at all, as it has to for transformers.
    """

    def build(self, info: DatasetInfo) -> nn.Module:
        """A freshly initialised network (from torch's global generator)."""
        ...

    def classifier(self, module: nn.Module) -> str:
        """Name of the module whose input holds the features."""
        ...


@runtime_checkable
class SetFormat(Part, Protocol):
    """A layout on disk in which distilled sets are handed on, ddbench's own or another program's.

    `read` and `write` raise a DDBenchError that is one clear sentence; nothing that a file holds is
    ever executed. What a layout has no place for goes into a sidecar
    (`ddbench.api.distilled_set.sidecar`), so that what was written is read again exactly.
    """

    layout: ClassVar[str]
    """What is looked for, in a line: `images_best.pt and labels_best.pt in a folder`."""

    def detect(self, path: Path) -> bool:
        """Whether a file or folder looks like this layout, from names alone."""
        ...

    def read(self, path: Path) -> PortableSet:
        """What is there, in the space in which it was found.

        Raises:
            DDBenchError: it is not of this layout, damaged, or unsafe to load.
        """
        ...

    def write(self, distilled: PortableSet, path: Path) -> None:
        """Writes the set to a path that does not exist yet; the caller renames it when it is whole.

        Raises:
            DDBenchError: the layout cannot hold this set without loss.
        """
        ...
