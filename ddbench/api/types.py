"""Records that cross the border between the harness and its plug-ins.

Axis letters, everywhere: b batch, n images or samples, k classes, m images of one class,
t test images, d features, c h w channels, height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8

from ddbench.api.errors import DDBenchError

if TYPE_CHECKING:
    Tensors: TypeAlias = dict[str, torch.Tensor]
else:
    Tensors = dict[str, Any]  # torch is not touched while modules are imported


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Facts about a data set that are known before an image is decoded."""

    identity: ClassVar[str] = "ddbench.types:DatasetInfo"

    name: str
    """As the user names it, resolution included: `imagenette@64`."""
    classes: tuple[str, ...]
    """WNIDs or names in index order; an index means nothing without them."""
    shape: tuple[int, int, int]
    """Channels, height, width."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_counts: tuple[int, ...]
    """Training images of each class."""
    test_counts: tuple[int, ...]
    fingerprint: str
    """sha-256 over labels and file names and sizes: other data, other fingerprint."""
    mirror: bool = True
    """Whether a mirrored image is still of its class (false for digits)."""
    titles: tuple[str, ...] = ()
    """Readable class names, where `classes` are WNIDs."""

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def resolution(self) -> int:
        return self.shape[1]


@runtime_checkable
class Reduction(Protocol):
    """A function of an activation, computed where the activation appears."""

    def reduce(self, activation: Float[torch.Tensor, "b ..."]) -> Tensors: ...


@runtime_checkable
class FusedReduction(Reduction, Protocol):
    """A reduction that can take over the work of the module whose input it reduces."""

    def through(
        self, module: torch.nn.Module, activation: Float[torch.Tensor, "b ..."]
    ) -> tuple[torch.Tensor, Tensors] | None:
        """Returns the module's output and what is kept of its input; None to compute them apart.

        Both as `module(activation)` and `reduce(activation)` give them, up to rounding.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tap:
    """One place of a network and what is kept of the activation there."""

    layer: str
    """Dotted module name."""
    reduction: Reduction
    side: Literal["input", "output"] = "input"


@dataclass(frozen=True, slots=True)
class Network:
    """A network and the names of the places that methods look at."""

    module: torch.nn.Module
    classifier: str
    """Name of the module whose input holds the features and whose output are the logits."""

    def norm_layers(self) -> tuple[str, ...]:
        """Names of the BatchNorm2d modules, in the order of definition."""
        return tuple(
            name
            for name, module in self.module.named_modules()
            if isinstance(module, torch.nn.BatchNorm2d)
        )


@dataclass(frozen=True, slots=True)
class Activations:
    """Logits and tapped activations of one forward pass of a probed network."""

    logits: Float[torch.Tensor, "b k"]
    taps: Mapping[Tap, Tensors]


@dataclass(frozen=True, slots=True)
class Atoms:
    """A discrete measure on m points: what the images of one class are drawn to."""

    points: Float[torch.Tensor, "m d"]
    weights: Float[torch.Tensor, " m"]
    """Sum to 1."""
    report: Mapping[str, float] = field(default_factory=dict)
    """Figures worth keeping, such as the transport objective."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimisation step, as matchers and regularizers see it."""

    images: Float[torch.Tensor, "b c h w"]
    """After augmentation, normalised; carries the gradient."""
    labels: Int[torch.Tensor, " b"]
    weights: Float[torch.Tensor, " b"]
    """Of the images within their class; all images of a class sum to 1."""
    atoms: Float[torch.Tensor, "b d"] | None
    """One target per image; None if the matcher has no target."""
    acts: Activations
    network: Network
    known: Mapping[Any, Tensors]
    """What the statistics stage found, by Statistic."""
    progress: float
    """0 at the first step, 1 at the last."""
    memory: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What the regularizer's `remember` gave at the last step of this group of images with this
    teacher; empty at the first."""
    seed: int = 0
    """For a part's random draws, `torch.Generator().manual_seed(step.seed)`: another at every step,
    the same ones for equal cells."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Augmented, mixed images of a distilled set, ready for a training step."""

    images: Float[torch.Tensor, "b c h w"]
    labels: Int[torch.Tensor, " b"]
    weights: Float[torch.Tensor, " b"]
    """Of the base images, mean 1 over the batch."""
    indices: Int[torch.Tensor, " b"]
    """Which image of the distilled set each row shows."""
    partner_labels: Int[torch.Tensor, " b"]
    partner_indices: Int[torch.Tensor, " b"]
    share: float
    """Part of each image that is its own; 1 without mixing."""
    answers: Float[torch.Tensor, "b k"] | None = None
    """Logits that a teacher gave to these very views, where the set brought them along (FKD)."""
    learned: Float[torch.Tensor, "n k"] | None = None
    """Labels that a distiller learned, one row for each image of the set (`indices` and
    `partner_indices` are rows of it): probabilities or logits. None if the set has none."""
    epoch: int = 0
    """Number of epochs that lie behind."""
    progress: float = 0.0
    """Share of the training's updates that lie behind: 0 at the first, below 1 at the last."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that an evaluator reports."""

    name: str
    unit: str = ""
    higher_is_better: bool | None = True
    """None for a number that is neither better high nor low."""


@dataclass(frozen=True, slots=True)
class DistilledSet:
    """Images, labels and weights that a distiller made."""

    images: Float[torch.Tensor, "n c h w"]
    """Pixels in [0, 1] unless the method leaves that range."""
    labels: Int[torch.Tensor, " n"]
    weights: Float[torch.Tensor, " n"]
    """Of each image within its class; the images of a class sum to 1."""
    soft_labels: Float[torch.Tensor, "n k"] | None = None
    """Labels that the distiller learned, one row an image: probabilities or logits."""
    rate: float | None = None
    """Learning rate that the distiller learned."""


@dataclass(frozen=True, slots=True)
class FeatureSample:
    """Teacher features of the real training set and of the distilled set."""

    real: Float[torch.Tensor, "n d"]
    real_labels: Int[torch.Tensor, " n"]
    distilled: Float[torch.Tensor, "m d"]
    distilled_labels: Int[torch.Tensor, " m"]
    distilled_weights: Float[torch.Tensor, " m"]


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished student, as evaluators see it. Read only.

    Evaluators are given more than logits if their `needs` ask for it, by the word in each method.
    """

    logits: Float[torch.Tensor, "t k"]
    labels: Int[torch.Tensor, " t"]
    info: DatasetInfo
    seed: int

    def distilled(self) -> DistilledSet:
        """Returns the set that the student was trained on: "images"."""
        raise _not_asked_for("images")

    def features(self) -> FeatureSample:
        """Returns the teacher's features of real and distilled images: "features"."""
        raise _not_asked_for("features")

    def test_images(self) -> UInt8[torch.Tensor, "t c h w"]:
        """Returns the test images, of which `labels` are the classes: "student"."""
        raise _not_asked_for("student")

    def student(self, images: UInt8[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n k"]:
        """Returns the student's logits of any images: "student"."""
        raise _not_asked_for("student")


def _not_asked_for(need: str) -> DDBenchError:
    return DDBenchError(
        f"the evaluator asks a trial for more than it needs: '{need}' is not among its `needs`",
        hint=f'needs: ClassVar[frozenset[str]] = frozenset({{"{need}"}})',
    )
