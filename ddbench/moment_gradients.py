"""Moments of an activation that keep little for their gradients. Imported when the first is taken,
since an autograd function cannot be defined without torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddbench.widening import widened

_PIECE = 2**19
"""Numbers squared at a time on a CPU: few enough that the squares never leave its cache."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square over positions, [b c] each, without a tensor of squares."""
    wide, places = widened(x), tuple(range(2, x.dim()))
    if not len(x):
        return wide.mean(places), wide.square().mean(places)
    if x.device.type == "cuda":
        return _reduced(x, places)
    pieces = wide.split(max(1, _PIECE // max(1, x[0].numel())))
    return wide.mean(places), torch.cat([piece.square().mean(places) for piece in pieces])


def _reduced(x: Tensor, places: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The same in two reductions of x as it is: no wide copy of it and no squares in memory."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=places, dtype=dtype)
    return x.mean(places, dtype=dtype), norm.square() / x[0, 0].numel()


def _pull(x: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    """Gradient in x from those of its moments, in one expression: m̄/p + 2/p q̄ x."""
    positions, shape = x[0, 0].numel(), (*x.shape[:2], *([1] * (x.dim() - 2)))
    shift = (mean / positions).view(shape).to(x.dtype)
    slope = (square * (2 / positions)).view(shape).to(x.dtype)
    return torch.addcmul(shift, x, slope)


class SpatialMoments(torch.autograd.Function):
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


class NormWithMoments(torch.autograd.Function):
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
