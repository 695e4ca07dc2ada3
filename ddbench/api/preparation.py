"""The role of a preparation: what a distiller wants made ahead of any image, as MTT its experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Float

from ddbench.api.roles import Distiller, Forward, Part
from ddbench.api.types import DatasetInfo, Network, Tap

if TYPE_CHECKING:
    from torch import Generator, Tensor


class PreparationProblem(Protocol):
    """What a preparation is given: real images and fresh networks, but no images to make."""

    info: DatasetInfo
    device: Any

    def rng(self, *names: object) -> Generator:
        """A CPU generator that depends on the teacher's seed and these names alone."""
        ...

    def real(self, cls: int) -> Float[Tensor, "n c h w"]:
        """Normalised training images of one class."""
        ...

    def fresh_network(self, *names: object) -> Network:
        """A newly initialised network of the cell's architecture (that of its teacher), in train
        mode, a function of the teacher's seed and these names alone."""
        ...

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Forward:
        """A forward pass of a network, in the cell's precision, that reports what taps ask for."""
        ...

    def tick(self, loss: Float[Tensor, ""] | None = None) -> None:
        """Told once per update: progress, and whether the loss is still a number."""
        ...


@runtime_checkable
class Preparation(Part, Protocol):
    """Tensors that are made once from real images and fresh networks, and then read by many cells.

    Like a teacher it has the teacher's seed: seeds, IPC and options of the distiller that do not
    bear on it share it in the cache.
    """

    @property
    def pieces(self) -> int:
        """How many tensors. Each depends on its number alone; finished ones outlive a kill."""
        ...

    def updates(self, info: DatasetInfo) -> int:
        """How often `problem.tick` will be called for a piece, for the progress bar."""
        ...

    def piece(self, problem: PreparationProblem, number: int) -> Tensor:
        """One of them."""
        ...


def preparation_of(distiller: Distiller) -> Preparation | None:
    """What a distiller wants made ahead; it need not say that it wants nothing."""
    return getattr(distiller, "preparation", None)
