"""Matches real and synthetic images in the eyes of many networks that were never trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench import hookimpl
from ddbench.roles import Distiller, Problem
from ddbench.siamese import Drawn, draw, operations
from ddbench.types import Activations, DatasetInfo, Network
from ddbench_plugins.gaps import Gap, MeanGap, Seen
from ddbench_plugins.synthetic import (
    DSA,
    Start,
    check_at_least,
    equal_counts,
    rows_by_class,
    started,
)

Classes = Mapping[int, Int[Tensor, " m"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomNetworks:
    """SGD on the pixels; a fresh network and fresh real images each iteration.

    min_S  E_θ,ω Σ_c gap( f_θ(A_ω(T_c)), f_θ(A_ω(S_c)) ),  ω the same for real and synthetic

    Images may leave the range of pixels and are stored as they are. With batch normalisation all
    classes pass through the network together, so that its statistics are those of their mixture.

    References:
        Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"networks"})
    makes: ClassVar[Literal["pixels", "indices"]] = "pixels"
    exact: ClassVar[bool] = True

    iterations: int = 20000
    """SGD steps, each through a network of its own."""
    batch_real: int = 256
    """Real images of each class an iteration."""
    lr: float = 1.0
    momentum: float = 0.5
    init: Start = "real"
    """Start from random training images of the class, or from N(0, 1) in normalised pixels."""
    augment: str = DSA
    """Operations of which each class gets one an iteration, joined by `_`; "" for none."""
    gap: Gap = field(default_factory=MeanGap)
    """What is made small."""
    chunk_size: int = 1024
    """Real images in one forward pass, about; bears on memory and time alone."""

    def __post_init__(self) -> None:
        check_at_least(self, iterations=1, batch_real=1, lr=0, momentum=0, chunk_size=1)
        operations(self.augment)

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return equal_counts(info, ipc)

    def batches(self, labels: Int[Tensor, " n"]) -> list[Int[Tensor, " b"]]:
        """One group: every iteration's network is built once, for all classes."""
        return [torch.arange(len(labels))]

    def iterations_of(self, problem: Problem, indices: Int[Tensor, " b"]) -> int:
        return self.iterations

    def recover(self, problem: Problem, indices: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        classes = rows_by_class(problem, indices)
        images = started(problem, classes, self.init)
        sgd = torch.optim.SGD([images], lr=self.lr, momentum=self.momentum)
        for iteration in range(self.iterations):
            network = problem.fresh_network(iteration)
            network.module.requires_grad_(False)
            loss, images.grad = self.slope(problem, network, images, classes, iteration)
            sgd.step()
            problem.tick(loss)
        return images

    def slope(
        self,
        problem: Problem,
        network: Network,
        images: Float[Tensor, "b c h w"],
        classes: Classes,
        iteration: int,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b c h w"]]:
        """The sum of the classes' gaps in one network, and its gradient to the images."""
        probe = problem.probe(network, self.gap.taps(network))
        names = operations(self.augment, problem.info.mirror)
        total, slope = images.new_zeros(()), torch.zeros_like(images)
        for some in self._together(network, classes):
            views = [draw(names, 1, problem.rng("view", iteration, cls)) for cls in some]
            with torch.no_grad():
                real = _seen(probe, self._real(problem, some, views, iteration))
            leaves = [images[classes[cls]].requires_grad_(True) for cls in some]
            made = _seen(probe, [v.apply(x) for v, x in zip(views, leaves, strict=True)])
            gaps = [self.gap.gap(network, r, m) for r, m in zip(real, made, strict=True)]
            loss = torch.stack(gaps).sum()
            for cls, part in zip(some, torch.autograd.grad(loss, leaves), strict=True):
                slope[classes[cls]] = part
            total += loss.detach()
        return total, slope

    def _real(
        self, problem: Problem, classes: Sequence[int], views: Sequence[Drawn], iteration: int
    ) -> list[Float[Tensor, "n c h w"]]:
        return [
            view.apply(
                problem.real_batch(cls, self.batch_real, problem.rng("real", iteration, cls))
            )
            for cls, view in zip(classes, views, strict=True)
        ]

    def _together(self, network: Network, classes: Classes) -> Iterator[list[int]]:
        """Classes whose images pass through the network at once."""
        mixed = bool(network.norm_layers())
        count = len(classes) if mixed else max(1, self.chunk_size // self.batch_real)
        names = list(classes)
        for first in range(0, len(names), count):
            yield names[first : first + count]


def _seen(
    probe: Callable[[Float[Tensor, "b c h w"]], Activations],
    batches: Sequence[Float[Tensor, "n c h w"]],
) -> list[Seen]:
    """What the taps give for each batch; all pass through the network at once."""
    sizes = [len(batch) for batch in batches]
    taps = probe(torch.cat(list(batches))).taps
    found: list[dict] = [{} for _ in batches]
    for tap, tensors in taps.items():
        for name, values in tensors.items():
            for one, part in zip(found, values.split(sizes), strict=True):
                one.setdefault(tap, {})[name] = part
    return found


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"random_networks": RandomNetworks()}
