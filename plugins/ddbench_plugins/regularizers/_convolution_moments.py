"""Statistics of the inputs of convolutions: by channel, and by patch of positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench.api.errors import IncompatibleError
from ddbench.api.moments import ChannelMoments
from ddbench.api.roles import Statistic
from ddbench.api.tensors import widen
from ddbench.api.types import Activations, DatasetInfo, Network, Reduction, Tap, Tensors
from ddbench_plugins.regularizers._moments import add_images, start_sums


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
    """Returns taps on the input of every Conv2d of a network.

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


class ConvolutionMoments(Statistic):
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

    patch: Annotated[int, Ge(0)] = 0
    """Positions along each side of a patch; 0 for channels."""
    by_category: bool = False
    """Within single images, averaged over those of a class."""

    @property
    def reduction(self) -> Reduction:
        return PatchMoments(self.patch) if self.patch else ChannelMoments()

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return tap_convolutions(network, self.reduction)

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        return start_sums(self.taps(network), info.num_classes if self.by_category else 1)

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        rows = labels if self.by_category else torch.zeros_like(labels)

        def spread(mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
            return square - mean.square() if self.by_category else square

        return add_images(state, acts, self.reduction, rows, spread)

    def finish(self, state: Tensors) -> Tensors:
        count = state["count"][:, None]
        moments = {name: sums / count for name, sums in state.items() if name != "count"}
        for name in [name for name in moments if name.endswith(".var")]:
            if not self.by_category:
                mean = moments[f"{name.removesuffix('.var')}.mean"]
                moments[name] = moments[name] - mean.square()
            moments[name] = moments[name].clamp_min(0)
        return {name: value.float() for name, value in moments.items()}
