"""The role of a pretraining: how a teacher's backbone is trained without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Float, Int

from ddbench.api.roles import Part
from ddbench.api.types import Activations, DatasetInfo, Network, Tap

if TYPE_CHECKING:
    from torch import Generator, Tensor


class PretrainingProblem(Protocol):
    """What a pretraining is given: real images without their labels."""

    info: DatasetInfo
    device: Any
    network: Network
    """Freshly initialised, in train mode, its weights trainable."""
    count: int
    """Training images."""

    def images(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        """Normalised training images by their place in the training set."""
        ...

    def rng(self, *names: object) -> Generator:
        """A CPU generator that depends on the teacher's seed and these names alone."""
        ...

    def probe(
        self, network: Network, taps: Sequence[Tap] = ()
    ) -> Callable[[Float[Tensor, "b c h w"]], Activations]:
        """A forward pass of a network, in the cell's precision, that reports what taps ask for."""
        ...

    def tick(self, loss: Float[Tensor, ""]) -> None:
        """Told once per update: progress, and whether the loss is still a number."""
        ...


@runtime_checkable
class Pretraining(Part, Protocol):
    """Trains a network without labels, before its classifier is trained on the frozen rest."""

    def updates(self, count: int) -> int:
        """How often `problem.tick` will be called for so many training images."""
        ...

    def pretrain(self, problem: PretrainingProblem) -> None:
        """Trains `problem.network` in place."""
        ...
