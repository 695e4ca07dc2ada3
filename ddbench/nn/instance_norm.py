"""Normalisation of every image and channel by itself, where channels are last.

torch has it as a GroupNorm of one channel a group, whose kernels on a CPU take three to four times
as long for channels that are last (in bfloat16 17 times or more), which poolings like three times
better. `python -m benchmarks.perf --only convnet` measures what a training step gains.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.api.tensors import widen
from ddbench.nn.surgery import replace_layers

_PIECE = 2**17
"""Numbers treated at a time: what is made of them in float32 stays in the cache of a core."""


def _to_rows(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b p c"]:
    """Returns a view of positions by channels, as they lie in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class _InstanceNorm(torch.autograd.Function):
    """y = w (x − m) / s + v, with the gradients of the textbook, a few images at a time."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, shift: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, output = max(1, _PIECE // x[0].numel()), torch.empty_like(x)
        means, inverses = [], []
        for piece, out in zip(_to_rows(x).split(count), _to_rows(output).split(count), strict=True):
            wide = widen(piece)
            mean = wide.mean(1, keepdim=True)
            variance = (wide - mean).square().mean(1, keepdim=True)
            inverse = (variance + eps).rsqrt()
            slope = inverse * weight
            out.copy_(torch.addcmul(shift - mean * slope, wide, slope))
            means.append(mean)
            inverses.append(inverse)
        return output, torch.cat(means), torch.cat(inverses)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, _, ctx.eps = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, weight, *output[1:])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be derived again
            return *_differentiate_plainly(slopes[0], x, weight, ctx.eps), None
        slope = slopes[0].contiguous(memory_format=torch.channels_last)
        return *_differentiate(slope, x, weight, mean, inverse), None


def _differentiate(
    slope: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns x̄ = w/s (ȳ − ⟨ȳ⟩ − x̂ ⟨ȳ x̂⟩), w̄ = Σ ȳ x̂ and v̄ = Σ ȳ, with x̂ = (x − m)/s."""
    count, positions = max(1, _PIECE // x[0].numel()), x[0, 0].numel()
    gradient, along, across = torch.empty_like(x), [], []
    rows = (_to_rows(x), _to_rows(slope), _to_rows(gradient), mean, inverse)
    for piece, come, out, m, r in zip(*(tensor.split(count) for tensor in rows), strict=True):
        wide, pull = widen(piece), widen(come)
        average = pull.mean(1, keepdim=True)
        joint = ((pull * wide).mean(1, keepdim=True) - m * average) * r
        along.append(joint)
        across.append(average)
        steep = r * weight
        back = -steep * r * joint
        pulled = torch.addcmul(-steep * average - back * m, wide, back)
        out.copy_(pulled.addcmul_(pull, steep))
    weights, shifts = (torch.cat(each).sum((0, 1)) * positions for each in (along, across))
    return gradient, weights, shifts


def _differentiate_plainly(
    slope: Tensor, x: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the same by operations that have gradients, for methods that unroll a training."""
    wide, pull = widen(x), widen(slope)
    centred = wide - wide.mean((2, 3), keepdim=True)
    inverse = (centred.square().mean((2, 3), keepdim=True) + eps).rsqrt()
    unit = centred * inverse
    joint = pull * unit
    inner = pull - pull.mean((2, 3), keepdim=True) - unit * joint.mean((2, 3), keepdim=True)
    gradient = inverse * weight.view(1, -1, 1, 1) * inner
    return gradient.to(x.dtype), joint.sum((0, 2, 3)), pull.sum((0, 2, 3))


class InstanceNorm(nn.GroupNorm):
    """A GroupNorm of one channel a group: the same function and parameters."""

    def forward(self, input: Float[Tensor, "b c *sides"]) -> Float[Tensor, "b c *sides"]:
        if (
            input.dim() != 4
            or input.device.type != "cpu"
            or not input.is_contiguous(memory_format=torch.channels_last)
            or input.is_contiguous()  # one pixel, one channel, or no image
            or torch.compiler.is_compiling()
        ):
            return super().forward(input)
        return _InstanceNorm.apply(input, self.weight, self.bias, self.eps)[0]


def use_instance_norms(network: nn.Module) -> nn.Module:
    """Makes the GroupNorms of one channel a group `InstanceNorm`s, in place."""

    def fits(layer: nn.GroupNorm) -> bool:
        return layer.num_groups == layer.num_channels and layer.affine

    return replace_layers(network, {nn.GroupNorm: InstanceNorm}, fits)
