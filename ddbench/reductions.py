"""What normalisation statistics keep of an activation: its moments per image and channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ddbench.errors import IncompatibleError
from ddbench.types import Network, Tap, Tensors


def widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class _SpatialMoments(torch.autograd.Function):
    """Mean and mean square over positions, with a backward of one fused expression.

    Keeps only the activation itself, which the following convolution or normalisation keeps anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        wide = widened(x.detach())
        places = tuple(range(2, x.dim()))
        return wide.mean(places), wide.square().mean(places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        positions = x[0, 0].numel()
        shape = (*x.shape[:2], *([1] * (x.dim() - 2)))
        shift = (grads[0] / positions).view(shape).to(x.dtype)
        slope = (grads[1] * (2 / positions)).view(shape).to(x.dtype)
        return torch.addcmul(shift, x, slope)


@dataclass(frozen=True, slots=True)
class ChannelMoments:
    """Per image and channel: mean and mean square over positions, `mean` and `square`, [b c].

    Every class-wise, weighted, global or averaged statistic of a layer is a linear or quadratic
    function of these two. Half precision is widened to float32.
    """

    def reduce(self, activation: Float[Tensor, "b c ..."]) -> Tensors:
        mean, square = _SpatialMoments.apply(activation)
        return {"mean": mean, "square": square}


def moment_taps(network: Network, what: str) -> tuple[Tap, ...]:
    """Taps on the input of every BatchNorm2d of a network.

    Raises:
        IncompatibleError: there is none.
    """
    layers = network.norm_layers()
    if not layers:
        raise IncompatibleError(
            f"{what} needs a teacher with BatchNorm2d layers",
            f"{type(network.module).__name__} has none",
            hint="take a teacher such as resnet18, or another regularizer (--regularizer none)",
        )
    return tuple(Tap(layer, ChannelMoments()) for layer in layers)
