"""Layers of a frozen network that keep for the backward pass only what a gradient in x needs.

torch's convolution keeps its input for the gradient of its kernel, also where the kernel is frozen;
max pooling keeps its input for the shape; a ReLU keeps its output for its signs. A ResNet under
image optimisation keeps about half as much without.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.nn.surgery import replace_layers

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
        back = _transpose if slope.device.type == "cuda" and ctx.how[3] == 1 else _go_back
        gradient = back(slope, kernel.to(slope.dtype), ctx.shape, ctx.how)
        return gradient.to(ctx.dtype), None, None, None


def _go_back(slope: Tensor, kernel: Tensor, shape: torch.Size, how: tuple[Any, ...]) -> Tensor:
    """Returns x̄ by torch's own backward pass, which reads only the shape of x for it."""
    shape_alone = slope.new_empty(1).expand(shape)
    gradient, _, _ = torch.ops.aten.convolution_backward(
        slope, shape_alone, kernel, None, *how[:3], False, (0, 0), how[3], (True, False, False)
    )
    return gradient


def _transpose(slope: Tensor, kernel: Tensor, shape: torch.Size, how: tuple[Any, ...]) -> Tensor:
    """Returns the same by a transposed convolution, the same kernel of cuDNN, without a stand-in.

    Under cuDNN the backward pass copies ȳ into the layout of x's strides: a stand-in without
    strides says channels first, and ȳ would be copied there and back in every layer.
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
        frozen = is_frozen(weight) and (bias is None or is_frozen(bias))
        if (
            weight.dtype != input.dtype
            and frozen
            and not torch.is_autocast_enabled(input.device.type)
        ):
            weight = weight.to(input.dtype)  # kept in half precision
            bias = None if bias is None else bias.to(input.dtype)
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if not (frozen and plain and _backward_follows(input)):
            return super()._conv_forward(input, weight, bias)
        how = (self.stride, self.padding, self.dilation, self.groups)
        return _FrozenConvolution.apply(input, weight, bias, how)


_PIECE = 2**17
"""Numbers multiplied by signs at a time on a CPU: unpacked signs stay in the cache of a core."""

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers by bytes: a number above zero is one above zero when its bits are read as one."""


class _SignsKept(torch.autograd.Function):
    """max(x, 0), with the signs as bytes; on one core as bits, where packing them takes no time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        # numpy packs on one core, whatever their number: the others would wait.
        if packed := x.device.type == "cpu" and torch.get_num_threads() == 1:
            signed = x if _is_dense(x) else x > 0  # which has no gaps
            ctx.shape, ctx.strides = signed.shape, signed.stride()
            ctx.save_for_backward(_pack_signs(signed))
        output = x.relu_() if in_place else x.relu()
        if in_place:
            ctx.mark_dirty(x)
        if not packed:
            ctx.save_for_backward(output.bool())  # faster than a comparison
        ctx.packed = packed
        return output

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (kept,), (slope,) = ctx.saved_tensors, slopes
        if ctx.packed:
            return _apply_signs(slope, kept, ctx.shape, ctx.strides), None
        if slope.device.type != "cpu":
            return slope * kept, None
        numbers = slope.view(_INTEGERS[slope.dtype.itemsize]) * kept.view(torch.uint8)
        return numbers.view(slope.dtype), None


def _is_dense(x: Tensor) -> bool:
    """Tells whether a tensor has neither gaps nor repetitions in memory, in any order of axes."""
    apart = 1
    for step, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and step != apart:
            return False
        apart *= size
    return True


def _read_memory(x: Tensor) -> Tensor:
    """Returns the numbers of a dense tensor as integers, in the order of memory."""
    return x.detach().as_strided((x.numel(),), (1,)).view(_INTEGERS[x.dtype.itemsize])


def _pack_signs(x: Tensor) -> Tensor:
    """Returns bits in the order of memory, by numpy, which compares several times as fast."""
    import numpy as np

    return torch.from_numpy(np.packbits(_read_memory(x).numpy() > 0))


def _apply_signs(
    slope: Tensor, bits: Tensor, shape: torch.Size, strides: tuple[int, ...]
) -> Tensor:
    """Returns the slope where signs are positive, else 0: its bits times 1 or 0, in pieces."""
    import numpy as np

    if slope.stride() != strides:  # another layout, or one number repeated
        slope = torch.empty_strided(shape, strides, dtype=slope.dtype).copy_(slope)
    gradient = torch.empty_strided(shape, strides, dtype=slope.dtype)
    numbers, out, signs = _read_memory(slope).numpy(), _read_memory(gradient).numpy(), bits.numpy()
    for start in range(0, len(numbers), _PIECE):
        piece = slice(start, start + _PIECE)
        positive = np.unpackbits(signs[start // 8 : (start + _PIECE) // 8], count=len(out[piece]))
        np.multiply(numbers[piece], positive, out=out[piece])
    return gradient


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
        output, places = torch.ops.aten.max_pool2d_with_indices(x, *how)
        few = x[0, 0].numel() <= torch.iinfo(torch.int16).max
        ctx.save_for_backward(places.to(torch.int16 if few else torch.int32))
        ctx.how, ctx.shape, ctx.strides = how, x.shape, x.stride()
        return output

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (places,), (slope,) = ctx.saved_tensors, slopes
        back = torch.ops.aten.max_pool2d_with_indices_backward
        gradient = torch.empty_strided(
            ctx.shape, ctx.strides, dtype=slope.dtype, device=slope.device
        )  # whose layout is asked for, not its numbers
        if slope.device.type == "cpu":
            back.grad_input(slope, gradient, *ctx.how, places.long(), grad_input=gradient)
            return gradient, None
        return back(slope, gradient, *ctx.how, places.long()), None


class LeanMaxPool2d(nn.MaxPool2d):
    """Max pooling that keeps places instead of its input in eval mode."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Any:
        if self.training or self.return_indices or not _backward_follows(input):
            return super().forward(input)
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        return _PlacesKept.apply(input, (*map(_to_pair, sizes), self.ceil_mode))


def _to_pair(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size


def is_frozen(parameter: Tensor) -> bool:
    """Tells whether a layer's parameter is its own and not learned."""
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


def use_lean_layers(network: nn.Module, half: bool = False) -> nn.Module:
    """Makes convolutions, ReLUs and max poolings of a frozen network lean, in place.

    Args:
        network: Frozen.
        half: Whether kernels are kept in bfloat16, as autocast would round them at every call.
    """
    for layer in replace_layers(network, _LEAN).modules():
        if half and isinstance(layer, LeanConv2d) and is_frozen(layer.weight):
            layer.to(torch.bfloat16)
    return network
