"""What normalisation statistics keep of an activation: its moments per image and channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.errors import IncompatibleError
from ddbench.types import Network, Tap, Tensors


def widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


_PIECE = 2**19
"""Numbers squared at a time on a CPU: few enough that the squares never leave its cache."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square over positions, [b c] each, without a tensor of squares."""
    wide, places = widened(x), tuple(range(2, x.dim()))
    if x.device.type != "cpu" or not len(x):
        return wide.mean(places), wide.square().mean(places)
    pieces = wide.split(max(1, _PIECE // max(1, x[0].numel())))
    return wide.mean(places), torch.cat([piece.square().mean(places) for piece in pieces])


def _pull(x: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    """Gradient in x from those of its moments, in one expression: m̄/p + 2/p q̄ x."""
    positions, shape = x[0, 0].numel(), (*x.shape[:2], *([1] * (x.dim() - 2)))
    shift = (mean / positions).view(shape).to(x.dtype)
    slope = (square * (2 / positions)).view(shape).to(x.dtype)
    return torch.addcmul(shift, x, slope)


class _SpatialMoments(torch.autograd.Function):
    """Mean and mean square over positions.

    Keeps only the activation itself, which the following convolution or normalisation keeps anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return _moments(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _pull(*ctx.saved_tensors, *grads)


class _NormWithMoments(torch.autograd.Function):
    """A frozen BatchNorm and the moments of its input: y = s x + t, and ȳ s + m̄/p + 2/p q̄ x back.

    Apart, the two gradients in x are two activations more to write and to add.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, scale)
        mean, square = _moments(x.detach())
        return torch.addcmul(shift, x, scale), mean, square

    @staticmethod
    def backward(ctx: Any, through: Tensor, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, scale = ctx.saved_tensors
        return _pull(x, *grads).addcmul_(through, scale), None, None


@dataclass(frozen=True, slots=True)
class ChannelMoments:
    """Per image and channel: mean and mean square over positions, `mean` and `square`, [b c].

    Every class-wise, weighted, global or averaged statistic of a layer is a linear or quadratic
    function of these two. Half precision is widened to float32.
    """

    def reduce(self, activation: Float[Tensor, "b c ..."]) -> Tensors:
        mean, square = _SpatialMoments.apply(activation)
        return {"mean": mean, "square": square}

    def through(
        self, module: nn.Module, activation: Float[Tensor, "b c ..."]
    ) -> tuple[Tensor, Tensors] | None:
        """What a frozen BatchNorm in eval mode gives, and the moments of its input, in one pass.

        None for any other module, and in half precision, where the product of two roundings would
        show in the gradient.
        """
        if activation.dtype.itemsize < 4 or not _is_fixed_affine(module):
            return None
        scale = torch.rsqrt(module.running_var + module.eps)
        if module.affine:
            scale = module.weight * scale
        shift = -module.running_mean * scale
        if module.affine:
            shift = module.bias + shift
        places = (1, -1, *([1] * (activation.dim() - 2)))
        output, mean, square = _NormWithMoments.apply(
            activation, scale.view(places), shift.view(places)
        )
        return output, {"mean": mean, "square": square}


def _is_fixed_affine(module: nn.Module) -> bool:
    """Exactly torch's own BatchNorm2d (subclasses may do more), with nothing left to learn."""
    return (
        type(module) is nn.BatchNorm2d
        and not module.training
        and module.running_mean is not None
        and not any(parameter.requires_grad for parameter in module.parameters())
    )


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
