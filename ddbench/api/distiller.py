"""The role of a distiller, what it is given, and what it may want made ahead of any image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int

from ddbench.api.roles import Looking, Part
from ddbench.api.types import Activations, DatasetInfo, Network, Tap, Tensors


@runtime_checkable
class Forward(Protocol):
    """A forward pass of a network that reports what taps ask for."""

    def __call__(self, images: Float[torch.Tensor, "b c h w"]) -> Activations: ...

    def close(self) -> None:
        """Takes out of the network what taps have put there; for networks that are used again."""
        ...


@runtime_checkable
class Problem(Protocol):
    """Services for a part that works for longer: real images, fresh networks, named draws.

    All draws depend on one seed and on the names that are given: the cell's for a distiller, the
    teacher's for a preparation and a pretraining.
    """

    @property
    def info(self) -> DatasetInfo: ...

    @property
    def device(self) -> Any: ...

    def rng(self, *names: object) -> torch.Generator:
        """Returns a CPU generator that depends on the seed and these names alone."""
        ...

    def images(self, rows: Int[torch.Tensor, " b"]) -> Float[torch.Tensor, "b c h w"]:
        """Returns normalised training images by their rows in the training set."""
        ...

    def real_indices(self, cls: int) -> Int[torch.Tensor, " n"]:
        """Returns the rows of one class in the training set.

        Raises:
            DDBenchError: a pretraining asks, which is given no labels.
        """
        ...

    def real(self, cls: int) -> Float[torch.Tensor, "n c h w"]:
        """Returns all normalised training images of one class."""
        ...

    def real_batch(
        self, cls: int, count: int, rng: torch.Generator
    ) -> Float[torch.Tensor, "b c h w"]:
        """Draws normalised training images of one class without replacement.

        As many as the class has, if `count` is more. Only these are read.
        """
        ...

    def fresh_network(self, *names: object) -> Network:
        """Builds a newly initialised network of the cell's architecture (that of its teacher).

        In train mode, its weights trainable, a function of the seed and these names alone.

        Raises:
            DDBenchError: "networks" is not among the distiller's `needs`.
        """
        ...

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Forward:
        """Returns a forward pass of a network, in the cell's precision, that reports taps."""
        ...

    def tick(self, loss: Float[torch.Tensor, ""] | None = None) -> None:
        """Is called once per iteration: progress, seconds per iteration, finiteness."""
        ...


@runtime_checkable
class DistillProblem(Problem, Protocol):
    """A problem with images to make, which a distiller is given."""

    @property
    def labels(self) -> Int[torch.Tensor, " n"]:
        """Class of every image to make."""
        ...

    @property
    def separable(self) -> bool:
        """True if the objective is a sum over classes: none bears on another's images."""
        ...

    @property
    def teachers(self) -> Sequence[Callable[[Float[torch.Tensor, "b c h w"]], Activations]]:
        """Frozen, probed networks, the cell's own first.

        Empty unless the distiller needs a teacher, one unless it needs the objective.
        """
        ...

    @property
    def prepared(self) -> Sequence[torch.Tensor]:
        """Pieces of the distiller's preparation, in order, on the CPU."""
        ...

    @property
    def known(self) -> Mapping[Any, Tensors]:
        """Results of the distiller's statistics through the first teacher, by Statistic."""
        ...

    def objective(
        self,
        images: Float[torch.Tensor, "b c h w"],
        indices: Int[torch.Tensor, " b"],
        progress: float,
        teacher: int | None = None,
    ) -> Float[torch.Tensor, ""]:
        """Returns matchers plus weighted regularizers for augmented images.

        Call it once per iteration: regularizers may remember what they saw.

        Args:
            images: Normalised.
            indices: Which of the images to make they show.
            progress: 0 at the first iteration, 1 at the last.
            teacher: Number of the one to look through; None for the mean over all of them.
        """
        ...

    def normalise(self, pixels: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """Normalises pixels in [0, 1] as the data set's."""
        ...

    def pixel_range(self) -> tuple[Float[torch.Tensor, "1 c 1 1"], Float[torch.Tensor, "1 c 1 1"]]:
        """Returns the lowest and highest normalised value of each channel."""
        ...

    def room_for(self, work: Callable[[], object]) -> float:
        """Returns how often what `work` keeps would fit into free memory; runs it once."""
        ...


class Preparation(Part):
    """Tensors that are made once from real images and fresh networks, and then read by many cells.

    Like a teacher it has the teacher's seed: seeds, IPC and options of the distiller that do not
    bear on it share it in the cache.
    """

    @property
    @abstractmethod
    def pieces(self) -> int:
        """Number of tensors. Each depends on its number alone; finished ones outlive a kill."""

    @abstractmethod
    def updates(self, info: DatasetInfo) -> int:
        """Returns how often `problem.tick` will be called for a piece, for the progress bar."""

    @abstractmethod
    def piece(self, problem: Problem, number: int) -> torch.Tensor:
        """Makes one piece."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A group of images with what was learned beside them."""

    images: torch.Tensor
    """Images [b c h w] or rows of the training set [b], as `recover` would return them alone."""
    labels: Float[torch.Tensor, "b k"] | None = None
    """A label for each image: probabilities or logits."""
    rate: float | None = None
    """Learning rate at which students are to be trained on the images."""


class Distiller(Looking):
    """Makes the images: by optimising pixels, or by selecting real ones.

    Statistics and taps are for one that needs a teacher: `problem.known` holds the results of the
    former, activations of `problem.teachers` the latter.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Subset of {"teacher", "objective", "networks"}; decides which stages a plan has. "networks":
    freshly initialised ones, for which nothing is trained. Matchers and regularizers bear on a
    distiller that needs the objective, and on no other."""
    makes: ClassVar[Literal["pixels", "indices"]] = "pixels"
    """"pixels": `recover` returns normalised images; "indices": rows of the training set."""

    @property
    def learns(self) -> frozenset[str]:
        """Subset of {"labels", "rate"}: what `recover` returns beside the images, in a `Learned`.

        Both become part of the distilled set. A distiller that learns a rate makes all images in
        one group.
        """
        return frozenset()

    @property
    def exact(self) -> bool:
        """True if images are kept as float32, unclamped; else they are rounded to bytes."""
        return False

    @property
    def shown(self) -> int:
        """Images that students are shown for each that is kept, where one holds several in parts.

        `counts` and `recover` speak of those that are shown, IPC and bytes of those that are kept.
        """
        return 1

    @property
    def preparation(self) -> Preparation | None:
        """Tensors to make ahead, once for all seeds; for a distiller that needs networks."""
        return None

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        """Returns how many images of each class are made: equally many unless it says otherwise."""
        return (ipc or 1,) * info.num_classes

    @abstractmethod
    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """Divides the images into groups: each is recovered on its own, in this order.

        A group is the unit of resuming and of sharding; its numbers must not depend on others.
        """

    @abstractmethod
    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> torch.Tensor | Learned:
        """Makes one group: [b c h w] normalised images, or [b] rows, as `makes` says.

        A distiller that learns labels or a rate returns them with the images, as `Learned`.
        """

    @abstractmethod
    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        """Returns how often `problem.tick` will be called for a group, for the progress bar."""

    def fitted(self, problem: DistillProblem, labels: Int[torch.Tensor, " n"]) -> Distiller:
        """Returns the distiller with what it leaves to the machine decided, such as a batch size.

        Called before `batches`. No number may depend on it but by rounding, for the cache does not
        know of it.
        """
        return self

    def weights(self, labels: Int[torch.Tensor, " n"]) -> Float[torch.Tensor, " n"] | None:
        """Returns a weight for each image, those of a class summing to 1.

        None for those of the first matcher's target, or equal ones.
        """
        return None
