"""Convolutions of small maps as products of matrices: of patches, or of whole flattened maps.

The sum over y * (K x) of images x, a kernel K and slopes y is linear in each of the three. Its
gradients in them are the convolution, the two parts of its backward pass, and all of theirs: so the
product may be differentiated as often as wanted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.api.tensors import derive
from ddbench.nn.frozen_layers import LeanConv2d, is_frozen
from ddbench.nn.surgery import replace_layers

Places = tuple[tuple[tuple[int, int] | None, ...], ...]
"""For every output pixel and every input pixel the tap that joins them, if any."""


@functools.cache
def join_pixels(height: int, width: int, stride: tuple[int, int]) -> Places:
    """Lists which tap of a 3x3 kernel, padded by one, joins which pixels.

    Args:
        height: Height of the input.
        width: Width of the input.
        stride: Stride of the convolution.
    """
    down, right = stride
    outputs = [(i, j) for i in range(0, height, down) for j in range(0, width, right)]
    inputs = [(i, j) for i in range(height) for j in range(width)]

    def tap(out: tuple[int, int], come: tuple[int, int]) -> tuple[int, int] | None:
        row, column = come[0] - out[0] + 1, come[1] - out[1] + 1
        return (row, column) if 0 <= row < 3 and 0 <= column < 3 else None

    return tuple(tuple(tap(out, come) for come in inputs) for out in outputs)


def build_matrix(kernel: Float[Tensor, "d c 3 3"], joined: Places) -> Float[Tensor, "jd ic"]:
    """Builds the matrix that does to a flattened map, channels last, what a kernel does to it.

    Args:
        kernel: Kernel of a convolution padded by one.
        joined: Which taps join which pixels.
    """
    out, into = kernel.shape[:2]
    matrix = kernel.new_zeros(len(joined) * out, len(joined[0]) * into)
    for i, row in enumerate(joined):
        for j, tap in enumerate(row):
            if tap is not None:
                block = matrix[i * out : (i + 1) * out, j * into : (j + 1) * into]
                block.copy_(kernel[:, :, tap[0], tap[1]])
    return matrix


_POSITIONS = {1: 64, 3: 16}
"""Output positions up to which a product of patches is faster on a CPU, by size of kernel."""


class SmallMapConv2d(LeanConv2d):
    """A 1x1 or 3x3 convolution, padded to keep its size, that on small maps is a matrix product.

    Same function, same parameters. On one pixel eight of nine taps only ever meet padding, on 2 x 2
    pixels five of nine; with stride two and 2 x 2 pixels five as well: the product leaves them out.
    On somewhat larger maps a CPU multiplies patches: oneDNN's gradients of kernels take up to eight
    times as long.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        if torch.compiler.is_compiling() or not self._is_product(input):
            return super().forward(input)
        device, matrix = input.device.type, None
        on = torch.is_autocast_enabled(device)
        kernel = self.weight.to(torch.get_autocast_dtype(device) if on else input.dtype)
        if self.kernel_size[0] == 3 and max(input.shape[-2:]) <= 2:
            joined = join_pixels(*input.shape[-2:], self.stride)
            matrix = functools.partial(self._build_matrix, joined)
        maps = convolve(input.to(kernel.dtype), kernel, self.stride[0], matrix)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(-1, 1, 1)

    def _is_product(self, input: Tensor) -> bool:
        """Tells whether a product is at least as fast as the convolution."""
        height, width = input.shape[-2:]
        positions = -(-height // self.stride[0]) * -(-width // self.stride[0])
        size, strided = self.kernel_size[0], self.stride == (2, 2)
        if size == 3 and max(height, width) <= 2 and (strided or positions == 1):
            return True
        # Of one stride and a frozen kernel, oneDNN's are as fast but on the smallest maps.
        slow = strided or not is_frozen(self.weight) or (size == 3 and max(height, width) <= 2)
        return input.device.type == "cpu" and slow and positions <= _POSITIONS[size]

    def _build_matrix(self, joined: Places, kernel: Tensor) -> Tensor:
        """Builds the matrix of the kernel as it is now; kept while that is frozen."""
        if not is_frozen(self.weight):
            return build_matrix(kernel, joined)
        make = functools.partial(build_matrix, kernel, joined)
        return derive(self, [self.weight], (joined, kernel.dtype), make)


def use_small_maps(network: nn.Module) -> nn.Module:
    """Makes plain convolutions of a network `SmallMapConv2d`s, in place."""
    return replace_layers(network, {nn.Conv2d: SmallMapConv2d}, _fits)


def _fits(layer: nn.Conv2d) -> bool:
    """Tells whether a convolution is 1x1 or 3x3, keeps the size, and has no groups or dilation."""
    about = (layer.kernel_size, layer.padding, layer.dilation, layer.groups, layer.padding_mode)
    plain = [((size, size), (size // 2,) * 2, (1, 1), 1, "zeros") for size in _POSITIONS]
    return about in plain and layer.stride in ((1, 1), (2, 2))


# -- products that may be differentiated again -----------------------------------------------------

Matrix = Callable[[Tensor], Tensor]
"""Builds the matrix of a kernel."""


def convolve(
    images: Float[Tensor, "b c h w"],
    kernel: Float[Tensor, "d c k k"],
    stride: int,
    matrix: Matrix | None = None,
) -> Float[Tensor, "b d i j"]:
    """Returns the convolution of images, padded by half a kernel of odd size, channels last.

    Args:
        images: Maps.
        kernel: In the same precision.
        stride: Along both sides.
        matrix: Builds the matrix, [i j d, h w c], that does to a flattened map what the kernel does
            to a map, if that is faster.
    """
    return _InSlopes.apply(images, kernel, stride, matrix)[0]


class _InSlopes(torch.autograd.Function):
    """y = K x; and the matrix of K, if there is one, for x̄."""

    @staticmethod
    def forward(
        x: Tensor, kernel: Tensor, stride: int, matrix: Matrix | None
    ) -> tuple[Tensor, Tensor | None]:
        height, width = (-(-side // stride) for side in x.shape[2:])
        if matrix is not None:
            whole = matrix(kernel)
            rows = (_flatten_maps(x) @ whole.t()).view(-1, len(kernel))
            return _to_maps(rows, height, width), whole
        rows = _cut_patches(x, kernel.shape[2], stride) @ _flatten(kernel).t()
        return _to_maps(rows, height, width), None

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        (x, kernel, ctx.stride, _), (_, whole) = inputs, output
        if whole is not None:
            ctx.mark_non_differentiable(whole)
        ctx.set_materialize_grads(False)
        # A frozen kernel asks for no images, and images without gradients for no kernel.
        images, kernels = ctx.needs_input_grad[:2]
        ctx.save_for_backward(
            x if kernels else None, kernel if images else None, whole if images else None
        )
        ctx.sides, ctx.size = x.shape[2:], kernel.shape[2]

    @staticmethod
    def backward(
        ctx: Any, *slopes: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        (x, kernel, whole), y, back = ctx.saved_tensors, slopes[0], None
        if y is None:  # only the matrix was used, which has no slopes
            return None, None, None, None
        if kernel is not None:
            back = _run(_InImages, y, kernel, ctx.sides, ctx.stride, whole)
        slope = None if x is None else _run(_InKernel, x, y, ctx.size, ctx.stride)
        return back, slope, None, None


class _InImages(torch.autograd.Function):
    """x̄ from ȳ and K."""

    @staticmethod
    def forward(
        y: Tensor, kernel: Tensor, sides: torch.Size, stride: int, whole: Tensor | None
    ) -> Tensor:
        if whole is not None:
            return _to_maps((_flatten_maps(y) @ whole).view(-1, kernel.shape[1]), *sides)
        if stride == 1 and kernel.shape[2] > 1:  # a convolution with the kernel turned round
            turned = kernel.flip(2, 3).transpose(0, 1)
            return _to_maps(_cut_patches(y, kernel.shape[2], 1) @ _flatten(turned).t(), *sides)
        return _add_patches(_to_rows(y) @ _flatten(kernel), y.shape, kernel.shape, sides, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, kernel, _, ctx.stride, _ = inputs
        ctx.save_for_backward(y, kernel)

    @staticmethod
    def backward(
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (y, kernel), (u,), wanted = ctx.saved_tensors, slopes, ctx.needs_input_grad
        through = convolve(u, kernel, ctx.stride) if wanted[0] else None
        slope = _InKernel.apply(u, y, kernel.shape[2], ctx.stride) if wanted[1] else None
        return through, slope, None, None, None


class _InKernel(torch.autograd.Function):
    """K̄ from x and ȳ."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, size: int, stride: int) -> Tensor:
        rows = _to_rows(y).t() @ _cut_patches(x, size, stride)
        return rows.view(y.shape[1], size, size, x.shape[1]).permute(0, 3, 1, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, _, ctx.stride = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (x, y), (kernel,), wanted = ctx.saved_tensors, slopes, ctx.needs_input_grad
        back = _InImages.apply(y, kernel, x.shape[2:], ctx.stride, None) if wanted[0] else None
        through = convolve(x, kernel, ctx.stride) if wanted[1] else None
        return back, through, None, None


def _run(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """Runs a function in a backward pass, differentiable only where that pass keeps a graph."""
    return (function.apply if torch.is_grad_enabled() else function.forward)(*inputs)


def _to_rows(maps: Tensor) -> Tensor:
    """Returns a row of channels for every position: a view where channels are last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _flatten_maps(maps: Tensor) -> Tensor:
    """Returns a row for every map, channels last."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _to_maps(rows: Tensor, height: int, width: int) -> Tensor:
    return rows.view(-1, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def _flatten(kernel: Tensor) -> Tensor:
    """Returns a row for every output channel: taps, and the channels of each."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)


def _cut_patches(x: Tensor, size: int, stride: int) -> Tensor:
    """Returns a row for every output position: pixels under the taps, as `_flatten` has."""
    if size == 1:
        return _to_rows(x[:, :, ::stride, ::stride])
    half, (count, channels, height, width) = size // 2, x.shape
    wide = F.pad(x.permute(0, 2, 3, 1), (0, 0, half, half, half, half)).contiguous()
    apart = wide.stride()
    out = (-(-height // stride), -(-width // stride))
    under = wide.as_strided(
        (count, *out, size, size * channels),
        (apart[0], apart[1] * stride, apart[2] * stride, apart[1], 1),
    )
    return under.reshape(-1, size * size * channels)


def _add_patches(
    rows: Tensor, out: torch.Size, kernel: torch.Size, sides: torch.Size, stride: int
) -> Tensor:
    """Adds the numbers of every tap of every output position to the pixel under it."""
    (count, _, height, width), (_, channels, size, _), half = out, kernel, kernel[2] // 2
    if size == stride == 1:
        return _to_maps(rows, height, width)
    dtype = rows.dtype
    if size > stride:  # several are added in one place
        dtype = torch.promote_types(dtype, torch.float32)
    wide = rows.new_zeros(count, sides[0] + 2 * half, sides[1] + 2 * half, channels, dtype=dtype)
    taps = rows.view(count, height, width, size, size, channels)
    for i in range(size):
        for j in range(size):
            place = wide[:, i : i + height * stride : stride, j : j + width * stride : stride]
            place[:, :height, :width] += taps[:, :, :, i, j]
    inside = wide[:, half : half + sides[0], half : half + sides[1]]
    return inside.to(rows.dtype, memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
