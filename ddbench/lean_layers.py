"""Layers of a frozen network that keep for the backward pass only what a gradient in x needs.

torch's convolution keeps its input for the gradient of its kernel, also where the kernel is frozen;
max pooling keeps its input for the shape; a ReLU keeps its output for its signs. A ResNet under
image optimisation keeps about half as much without.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Pair = tuple[int, int]


class _FrozenConvolution(torch.autograd.Function):
    """y = k * x, with x̄ from ȳ and k alone."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, bias: Tensor | None, how: tuple[Any, ...]) -> Tensor:
        return torch.nn.functional.conv2d(x, kernel, bias, *how)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, kernel, _, ctx.how = inputs
        ctx.save_for_backward(kernel)
        ctx.shape, ctx.dtype = x.shape, x.dtype

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,), (kernel,) = slopes, ctx.saved_tensors
        back = _transposed if slope.device.type == "cuda" and ctx.how[3] == 1 else _backward
        found = back(slope, kernel.to(slope.dtype), ctx.shape, ctx.how)
        return found.to(ctx.dtype), None, None, None


def _backward(slope: Tensor, kernel: Tensor, shape: torch.Size, how: tuple[Any, ...]) -> Tensor:
    """x̄ by torch's own backward pass, which of x reads the shape where nothing else is asked."""
    stride, padding, dilation, groups = how
    shape_alone = slope.new_empty(1).expand(shape)
    found, _, _ = torch.ops.aten.convolution_backward(
        slope, shape_alone, kernel, None,
        stride, padding, dilation, False, (0, 0), groups, (True, False, False),
    )  # fmt: skip
    return found


def _transposed(slope: Tensor, kernel: Tensor, shape: torch.Size, how: tuple[Any, ...]) -> Tensor:
    """The same as a transposed convolution, by the same kernel of cuDNN, without a stand-in for x.

    Under cuDNN the backward pass copies ȳ into the layout that the strides of x tell: a stand-in
    without strides says channels first, and ȳ would be copied there and back in every layer.
    """
    stride, padding, dilation, groups = how
    least = [  # of the sizes of x that give those of y
        (slope.shape[2 + i] - 1) * stride[i]
        - 2 * padding[i]
        + dilation[i] * (kernel.shape[2 + i] - 1)
        + 1
        for i in (0, 1)
    ]
    more = [size - smallest for size, smallest in zip(shape[2:], least, strict=True)]
    return torch.nn.functional.conv_transpose2d(
        slope, kernel, None, stride, padding, more, groups, dilation
    )


class LeanConv2d(nn.Conv2d):
    """A convolution that keeps no input while its kernel is frozen; else the same."""

    def _conv_forward(
        self, input: Float[Tensor, "b c h w"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "b d i j"]:
        frozen = _is_frozen(weight) and (bias is None or _is_frozen(bias))
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if not (frozen and plain and _backward_follows(input)):
            return super()._conv_forward(input, weight, bias)
        how = (self.stride, self.padding, self.dilation, self.groups)
        return _FrozenConvolution.apply(input, weight, bias, how)


_PIECE = 2**19
"""Numbers multiplied by signs at a time on a CPU: torch makes floats of the signs first."""


class _SignsKept(torch.autograd.Function):
    """max(x, 0), with the signs as bytes; as bits on a CPU, where packing them takes no time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        positive: Bool[Tensor, ...] = x > 0
        ctx.shape, ctx.strides = positive.shape, positive.stride()
        ctx.save_for_backward(_packed(positive) if x.device.type == "cpu" else positive)
        if not in_place:
            return x.relu()
        ctx.mark_dirty(x)
        return x.relu_()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (kept,), (slope,) = ctx.saved_tensors, slopes
        if slope.device.type != "cpu":
            return slope * kept, None
        return _signed(slope, _unpacked(kept, ctx.shape, ctx.strides)), None


def _packed(positive: Bool[Tensor, ...]) -> Tensor:
    """Bits in the order of memory; what a comparison gives has no gaps in it."""
    import numpy as np

    return torch.from_numpy(np.packbits(positive.as_strided((positive.numel(),), (1,)).numpy()))


def _unpacked(bits: Tensor, shape: torch.Size, strides: tuple[int, ...]) -> Bool[Tensor, ...]:
    import numpy as np

    flat = torch.from_numpy(np.unpackbits(bits.numpy(), count=shape.numel()))
    return flat.view(torch.bool).as_strided(shape, strides)


def _signed(slope: Tensor, positive: Bool[Tensor, ...]) -> Tensor:
    """The product, in pieces."""
    if slope.numel() <= _PIECE:
        return slope * positive
    found = torch.empty_like(slope)
    count = max(1, _PIECE // slope[0].numel())
    for one, keep, out in zip(*(t.split(count) for t in (slope, positive, found)), strict=True):
        torch.mul(one, keep, out=out)
    return found


class LeanReLU(nn.ReLU):
    """A ReLU that keeps signs, not values, in eval mode: no kernel after it wants them."""

    def forward(self, input: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if self.training or not _backward_follows(input):
            return super().forward(input)
        return _SignsKept.apply(input, self.inplace)


class _PlacesKept(torch.autograd.Function):
    """Max pooling that keeps where the maxima were, in a few bytes, and not what lay there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, how: tuple[Any, ...]) -> Tensor:
        found, places = torch.ops.aten.max_pool2d_with_indices(x, *how)
        few = x[0, 0].numel() <= torch.iinfo(torch.int16).max
        ctx.save_for_backward(places.to(torch.int16 if few else torch.int32))
        ctx.how, ctx.shape, ctx.strides = how, x.shape, x.stride()
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (places,), (slope,) = ctx.saved_tensors, slopes
        back = torch.ops.aten.max_pool2d_with_indices_backward
        found = torch.empty_strided(
            ctx.shape, ctx.strides, dtype=slope.dtype, device=slope.device
        )  # whose layout is asked for, not its numbers
        if slope.device.type == "cpu":
            back.grad_input(slope, found, *ctx.how, places.long(), grad_input=found)
            return found, None
        return back(slope, found, *ctx.how, places.long()), None


class LeanMaxPool2d(nn.MaxPool2d):
    """Max pooling that keeps places instead of its input in eval mode."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Any:
        if self.training or self.return_indices or not _backward_follows(input):
            return super().forward(input)
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        return _PlacesKept.apply(input, (*map(_both, sizes), self.ceil_mode))


def _both(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size


def _is_frozen(parameter: Tensor) -> bool:
    # A tensor that `functional_call` put in the place of a parameter may be watched elsewhere.
    return isinstance(parameter, nn.Parameter) and not parameter.requires_grad


def _backward_follows(x: Tensor) -> bool:
    # `torch.compile` decides by itself what to keep.
    return x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()


_LEAN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: LeanConv2d,
    nn.ReLU: LeanReLU,
    nn.MaxPool2d: LeanMaxPool2d,
}


def with_lean_layers(network: nn.Module) -> nn.Module:
    """The network, its convolutions, ReLUs and max poolings lean: the same parameters in place.

    Subclasses are left alone: they have a forward of their own.
    """
    for layer in network.modules():
        if type(layer) in _LEAN:
            layer.__class__ = _LEAN[type(layer)]
    return network
