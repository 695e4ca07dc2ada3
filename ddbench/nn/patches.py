"""A convolution as a product of patches and kernel, which may be differentiated as often as wanted.

The sum over y * (K x) of images x, a kernel K and slopes y is linear in each of the three. Its
gradients in them are the convolution, the two parts of its backward pass, and all of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Matrix = Callable[[Tensor], Tensor]
"""Of a kernel."""


def convolved(
    images: Float[Tensor, "b c h w"],
    kernel: Float[Tensor, "d c k k"],
    stride: int,
    matrix: Matrix | None = None,
) -> Float[Tensor, "b d i j"]:
    """The convolution of images, padded by half a kernel of odd size, channels last.

    Args:
        images: Maps.
        kernel: In the same precision.
        stride: Along both sides.
        matrix: Gives what does to a flattened map (h w c) what the kernel does to a map, if that is
            faster: [i j d, h w c].
    """
    found: Tensor = _InSlopes.apply(images, kernel, stride, matrix)[0]
    return found


class _InSlopes(torch.autograd.Function):
    """y = K x; and the matrix of K, if there is one, for x̄."""

    @staticmethod
    def forward(
        x: Tensor, kernel: Tensor, stride: int, matrix: Matrix | None
    ) -> tuple[Tensor, Tensor | None]:
        height, width = (-(-side // stride) for side in x.shape[2:])
        if matrix is not None:
            whole = matrix(kernel)
            return _maps((_flat_maps(x) @ whole.t()).view(-1, len(kernel)), height, width), whole
        found = _patches(x, kernel.shape[2], stride) @ _flat(kernel).t()
        return _maps(found, height, width), None

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
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (x, kernel, whole), y, back = ctx.saved_tensors, slopes[0], None
        if y is None:  # only the matrix was used, which has no slopes
            return None, None, None, None
        if kernel is not None:
            back = _given(_InImages, y, kernel, ctx.sides, ctx.stride, whole)
        slope = None if x is None else _given(_InKernel, x, y, ctx.size, ctx.stride)
        return back, slope, None, None


class _InImages(torch.autograd.Function):
    """x̄ from ȳ and K."""

    @staticmethod
    def forward(
        y: Tensor, kernel: Tensor, sides: torch.Size, stride: int, whole: Tensor | None
    ) -> Tensor:
        if whole is not None:
            return _maps((_flat_maps(y) @ whole).view(-1, kernel.shape[1]), *sides)
        if stride == 1 and kernel.shape[2] > 1:  # a convolution with the kernel turned round
            turned = kernel.flip(2, 3).transpose(0, 1)
            return _maps(_patches(y, kernel.shape[2], 1) @ _flat(turned).t(), *sides)
        return _gathered(_rows(y) @ _flat(kernel), y.shape, kernel.shape, sides, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, kernel, _, ctx.stride, _ = inputs
        ctx.save_for_backward(y, kernel)

    @staticmethod
    def backward(
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (y, kernel), (u,), wanted = ctx.saved_tensors, slopes, ctx.needs_input_grad
        through = convolved(u, kernel, ctx.stride) if wanted[0] else None
        slope = _InKernel.apply(u, y, kernel.shape[2], ctx.stride) if wanted[1] else None
        return through, slope, None, None, None


class _InKernel(torch.autograd.Function):
    """K̄ from x and ȳ."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, size: int, stride: int) -> Tensor:
        found = _rows(y).t() @ _patches(x, size, stride)
        return found.view(y.shape[1], size, size, x.shape[1]).permute(0, 3, 1, 2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, _, ctx.stride = inputs
        ctx.save_for_backward(x, y)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (x, y), (kernel,), wanted = ctx.saved_tensors, slopes, ctx.needs_input_grad
        back = _InImages.apply(y, kernel, x.shape[2:], ctx.stride, None) if wanted[0] else None
        through = convolved(x, kernel, ctx.stride) if wanted[1] else None
        return back, through, None, None


def _given(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    """Of a backward pass: to be differentiated again only where that keeps a graph of its own."""
    found: Tensor
    if torch.is_grad_enabled():
        found = function.apply(*inputs)
    else:
        found = function.forward(*inputs)
    return found


def _rows(maps: Tensor) -> Tensor:
    """A row of channels for every position: a view where channels are last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _flat_maps(maps: Tensor) -> Tensor:
    """A row for every map, channels last."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def _maps(rows: Tensor, height: int, width: int) -> Tensor:
    return rows.view(-1, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def _flat(kernel: Tensor) -> Tensor:
    """A row for every output channel: taps, and the channels of each."""
    return kernel.permute(0, 2, 3, 1).reshape(len(kernel), -1)


def _patches(x: Tensor, size: int, stride: int) -> Tensor:
    """A row for every output position: what lies under the taps, in the order of `_flat`."""
    if size == 1:
        return _rows(x[:, :, ::stride, ::stride])
    half, (count, channels, height, width) = size // 2, x.shape
    wide = F.pad(x.permute(0, 2, 3, 1), (0, 0, half, half, half, half)).contiguous()
    apart = wide.stride()
    out = (-(-height // stride), -(-width // stride))
    under = wide.as_strided(
        (count, *out, size, size * channels),
        (apart[0], apart[1] * stride, apart[2] * stride, apart[1], 1),
    )
    return under.reshape(-1, size * size * channels)


def _gathered(
    rows: Tensor, out: torch.Size, kernel: torch.Size, sides: torch.Size, stride: int
) -> Tensor:
    """Adds up what every tap of every output position says about the pixel under it."""
    (count, _, height, width), (_, channels, size, _), half = out, kernel, kernel[2] // 2
    if size == stride == 1:
        return _maps(rows, height, width)
    dtype = rows.dtype
    if size > stride:  # several are added in one place
        dtype = torch.promote_types(dtype, torch.float32)
    wide = rows.new_zeros(count, sides[0] + 2 * half, sides[1] + 2 * half, channels, dtype=dtype)
    taps = rows.view(count, height, width, size, size, channels)
    for i in range(size):
        for j in range(size):
            place = wide[:, i : i + height * stride : stride, j : j + width * stride : stride]
            place[:, :height, :width] += taps[:, :, :, i, j]
    found = wide[:, half : half + sides[0], half : half + sides[1]]
    return found.to(rows.dtype, memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
