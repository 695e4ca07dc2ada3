"""Statistics of the inputs of convolutions: by channel, and by patch of positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import IncompatibleError
from ddbench.api.moments import ChannelMoments
from ddbench.api.tensors import widen
from ddbench.api.types import Activations, DatasetInfo, Network, Reduction, Tap, Tensors


@dataclass(frozen=True, slots=True)
class PatchMoments:
    """Per image and patch: mean and mean square over channels and positions, [b l].

    A map whose sides are no multiple of the patch's is resized to the next larger one, bilinearly.
    """

    side: int
    """Positions along each side of a patch."""

    def reduce(self, activation: Float[torch.Tensor, "b c h w"]) -> Tensors:
        maps = widen(activation)
        size = [-(-length // self.side) * self.side for length in maps.shape[2:]]
        if size != list(maps.shape[2:]):
            maps = torch.nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)
        over = {"mean": maps.mean(1, keepdim=True), "square": maps.square().mean(1, keepdim=True)}
        return {
            name: torch.nn.functional.avg_pool2d(plane, self.side).flatten(1)
            for name, plane in over.items()
        }


def tap_convolutions(network: Network, reduction: Reduction) -> tuple[Tap, ...]:
    """Taps on the input of every Conv2d of a network.

    Raises:
        IncompatibleError: there is none.
    """
    layers = [
        name for name, part in network.module.named_modules() if isinstance(part, torch.nn.Conv2d)
    ]
    if not layers:
        raise IncompatibleError(
            "statistics of convolutions need a teacher with Conv2d layers",
            f"{type(network.module).__name__} has none",
            hint="take a teacher such as resnet18, or another regularizer (--regularizer none)",
        )
    return tuple(Tap(layer, reduction) for layer in layers)


@dataclass(frozen=True, slots=True)
class ConvolutionMoments:
    """Mean and variance of every convolution's input, over all real images or within each class's.

    Over all: μ = E[m], σ² = E[q] − μ², of all images and positions, exactly.
    By category: m_k = E_i[m_i], v_k = E_i[q_i − m_i²], within single images, averaged over class k.

    m and q are means and mean squares of single images, by channel, or by patch over channels.

    Gives, per layer l, `l.mean` and `l.var`, [1 c] or [k c].

    Differences:
        The released codes take random crops and flips of the real images, and average variances
        over batches, which leaves out the variance between batches.
    """

    identity: ClassVar[str] = "ddbench_plugins.convolutions:ConvolutionMoments"
    version: ClassVar[int] = 1

    patch: int = 0
    """Positions along each side of a patch; 0 for channels."""
    by_category: bool = False

    @property
    def reduction(self) -> Reduction:
        return PatchMoments(self.patch) if self.patch else ChannelMoments()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return tap_convolutions(network, self.reduction)

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        rows = info.num_classes if self.by_category else 1
        # One column until the first batch shows how many there are.
        sums = {
            f"{tap.layer}.{name}": torch.zeros(rows, 1, dtype=torch.float64)
            for tap in self.taps(network)
            for name in ("mean", "var")
        }
        return {**sums, "count": torch.zeros(rows, dtype=torch.float64)}

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        rows = labels.cpu() if self.by_category else torch.zeros(len(labels), dtype=torch.long)
        member = torch.nn.functional.one_hot(rows, len(state["count"])).T.double()  # k b
        after = {"count": state["count"] + member.sum(1)}
        for layer in (n.removesuffix(".mean") for n in state if n.endswith(".mean")):
            found = acts.taps[Tap(layer, self.reduction)]
            mean, square = (found[part].cpu().double() for part in ("mean", "square"))  # b c
            spread = square - mean.square() if self.by_category else square
            after[f"{layer}.mean"] = state[f"{layer}.mean"] + member @ mean
            after[f"{layer}.var"] = state[f"{layer}.var"] + member @ spread
        return after

    def finish(self, state: Tensors) -> Tensors:
        count = state["count"][:, None]
        found = {name: sums / count for name, sums in state.items() if name != "count"}
        if not self.by_category:
            for name in [name for name in found if name.endswith(".mean")]:
                spread = f"{name.removesuffix('.mean')}.var"
                found[spread] = found[spread] - found[name].square()
        return {name: _round(name, value) for name, value in found.items()}


def _round(name: str, value: torch.Tensor) -> torch.Tensor:
    return (value.clamp_min(0) if name.endswith(".var") else value).float()
