"""Moments of an activation that keep little for their gradients.

Imported when the first is taken, since an autograd function cannot be defined without torch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ddbench.api.tensors import widen

_PIECE = 2**16
"""Numbers that a core treats at a time: in float32 what is made of them stays in its cache."""

_NOTHING = 1e-30
"""Epsilon of a BatchNorm whose variance is one: torch 2.11 takes no zero."""


def _split(x: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Returns a few images of x and of the others at a time, at least one."""
    count = max(1, _PIECE * torch.get_num_threads() // max(1, x.shape[1:].numel()))
    if count >= len(x):
        return ((x, *others),)  # splitting few images would take longer than adding them up
    return zip(*(tensor.split(count) for tensor in (x, *others)), strict=True)


def _average(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and mean square over positions, [b c] each, without a wide copy or squares."""
    places = tuple(range(2, x.dim()))
    if not len(x):
        return widen(x).mean(places), widen(x).square().mean(places)
    if x.device.type == "cuda":
        return _reduce(x, places)
    if x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.shape[1:].numel() >= _PIECE:
        return _average_images(x)
    dtype = torch.promote_types(x.dtype, torch.float32)
    sums = [x.new_empty(x.shape[:2], dtype=dtype) for _ in range(2)]
    for piece, total, squares in _split(x, *sums):
        wide = widen(piece)
        torch.sum(wide, places, out=total)
        torch.sum(wide.square(), places, out=squares)
    mean, square = (each.div_(x.shape[2:].numel()) for each in sums)
    return mean, square


def _average_images(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the same by BatchNorm's statistics, which widen numbers as they add them.

    They take less than half the time, and add up one by one: an error of 2e-5 over 112 x 112
    places, where a bfloat16 has one of 4e-3.
    """
    none, one = _zeros_and_ones(x.shape[1], torch.float32, x.device)
    moments = [torch.batch_norm_update_stats(image, none, one, 0.0) for image in x.split(1)]
    mean, variance = (torch.stack(each) for each in zip(*moments, strict=True))
    return mean, variance.add_(mean.square())


def _reduce(x: Tensor, places: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns the same by two reductions of x as it is: no wide copy, no squares in memory."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    norm = torch.linalg.vector_norm(x, dim=places, dtype=dtype)
    return x.mean(places, dtype=dtype), norm.square() / x.shape[2:].numel()


def _pull(x: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    """Returns the gradient in x from those of its moments, in one expression: m̄/p + 2/p q̄ x."""
    positions, shape = x.shape[2:].numel(), (*x.shape[:2], *([1] * (x.dim() - 2)))
    shift = (mean / positions).view(shape).to(x.dtype)
    slope = (square * (2 / positions)).view(shape).to(x.dtype)
    return torch.addcmul(shift, x, slope)


class SpatialMoments(torch.autograd.Function):
    """Mean and mean square over positions.

    For the backward pass it keeps only the activation, which the next layer keeps anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return _average(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _pull(*ctx.saved_tensors, *grads)


class NormWithMoments(torch.autograd.Function):
    """A frozen BatchNorm and the moments of its input: y = s x + t, and ȳ s + m̄/p + 2/p q̄ x back.

    Apart, the two gradients in x are two activations more to write and to add. On a CPU torch's own
    BatchNorm rounds y once; the gradient is widened piece by piece, so that it is rounded once too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, scale)
        x = x.detach()
        if x.device.type == "cuda" or not len(x):
            return torch.addcmul(shift, x, scale), *_average(x)
        none, one = _zeros_and_ones(scale.numel(), scale.dtype, scale.device)
        affine = (scale.flatten(), shift.flatten())
        output = torch.nn.functional.batch_norm(x, none, one, *affine, eps=_NOTHING)
        return output, *_average(x)

    @staticmethod
    def backward(ctx: Any, through: Tensor, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, scale = ctx.saved_tensors
        if x.device.type == "cuda" or not len(x):
            return _pull(x, *grads).addcmul_(through, scale), None, None
        return _pull_in_pieces(x, scale, through, *grads), None, None


@functools.lru_cache(64)
def _zeros_and_ones(
    channels: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns the mean and variance with which a BatchNorm changes nothing; made once."""
    with torch.inference_mode(False):
        return (
            torch.zeros(channels, dtype=dtype, device=device),
            torch.ones(channels, dtype=dtype, device=device),
        )


def _pull_in_pieces(
    x: Tensor, scale: Tensor, through: Tensor, mean: Tensor, square: Tensor
) -> Tensor:
    """Returns the gradient of a BatchNorm and of moments, a few images at a time, rounded once."""
    positions, shape = x.shape[2:].numel(), (*x.shape[:2], *([1] * (x.dim() - 2)))
    shift, slope = (mean / positions).view(shape), (square * (2 / positions)).view(shape)
    gradient = torch.empty_like(x)
    for piece, come, add, times, out in _split(x, through, shift, slope, gradient):
        pulled = torch.addcmul(add, widen(piece), times)
        out.copy_(pulled.addcmul_(widen(come), scale))
    return gradient
