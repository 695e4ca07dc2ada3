"""Convolutions of small maps as matrix products."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.lean_layers import LeanConv2d, is_frozen
from ddbench.patches import convolved

Places = tuple[tuple[tuple[int, int] | None, ...], ...]
"""For every output pixel and every input pixel the tap that joins them, if any."""


@cache
def places(height: int, width: int, stride: tuple[int, int]) -> Places:
    """Which tap of a 3x3 kernel, padded by one, joins which pixels.

    Args:
        height: Of the input.
        width: Of the input.
        stride: Of the convolution.
    """
    down, right = stride
    outputs = [(i, j) for i in range(0, height, down) for j in range(0, width, right)]
    inputs = [(i, j) for i in range(height) for j in range(width)]

    def tap(out: tuple[int, int], come: tuple[int, int]) -> tuple[int, int] | None:
        row, column = come[0] - out[0] + 1, come[1] - out[1] + 1
        return (row, column) if 0 <= row < 3 and 0 <= column < 3 else None

    return tuple(tuple(tap(out, come) for come in inputs) for out in outputs)


class _Matrix(torch.autograd.Function):
    """The matrix that does to a flattened map what the kernel does to the map.

    Written tap by tap: slices of the kernel would each give a gradient of the kernel's size.
    """

    @staticmethod
    def forward(kernel: Tensor, joined: Places) -> Tensor:
        out, into = kernel.shape[:2]
        matrix = kernel.new_empty(len(joined) * out, len(joined[0]) * into)
        for block, tap in _blocks(matrix, joined, out, into):
            if tap is None:
                block.zero_()
            else:
                block.copy_(kernel[:, :, tap[0], tap[1]])
        return matrix

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Places], output: Tensor) -> None:
        kernel, ctx.joined = inputs
        ctx.shape = kernel.shape

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        out, into = ctx.shape[:2]
        # Differentiable itself, for methods that unroll a student's training.
        found: dict[tuple[int, int], Tensor] = {}
        for block, tap in _blocks(slope, ctx.joined, out, into):
            if tap is not None:
                found[tap] = found[tap] + block if tap in found else block
        whole = slope.new_zeros(out, 3, 3, into)  # channels last, as kernels are
        for (row, column), block in found.items():
            whole[:, row, column] = block
        return whole.permute(0, 3, 1, 2), None


def _blocks(matrix: Tensor, joined: Places, out: int, into: int) -> Any:
    for i, row in enumerate(joined):
        for j, tap in enumerate(row):
            yield matrix[i * out : (i + 1) * out, j * into : (j + 1) * into], tap


@dataclass(slots=True)
class _Kept:
    """Matrices of a frozen kernel."""

    state: tuple[int, int]
    """Address and version of the kernel."""
    kernel: Tensor
    """Held, so that no other kernel comes to lie at its address."""
    matrices: dict[Any, Tensor] = field(default_factory=dict)


_POSITIONS = {1: 64, 3: 16}
"""By size of kernel: output positions up to which a product of patches is faster on a CPU."""


class SmallMapConv2d(LeanConv2d):
    """A 1x1 or 3x3 convolution, padded to keep its size, that on small maps is a matrix product.

    Same function, same parameters. On one pixel eight of nine taps only ever meet padding, on 2 x 2
    pixels five of nine; with stride two and 2 x 2 pixels five as well: the product leaves them out.
    On somewhat larger maps a CPU multiplies patches: oneDNN's gradients of kernels take up to eight
    times as long.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        if torch.compiler.is_compiling():  # it would not keep the matrices
            return super().forward(input)
        height, width = (-(-side // self.stride[0]) for side in input.shape[-2:])
        size, on_cpu = self.kernel_size[0], input.device.type == "cpu"
        if size == 3 and max(input.shape[-2:]) <= 2:
            several = self.stride == (1, 1) and input[0, 0].numel() > 1
            if on_cpu or not several:
                return self._by_matrix(input, height, width)
        # Of one stride and a frozen kernel, oneDNN's are as fast.
        slow = self.stride == (2, 2) or not is_frozen(self.weight)
        if on_cpu and slow and height * width <= _POSITIONS[size]:
            kernel = self.weight.to(self._dtype(input))
            return self._shifted(convolved(input.to(kernel.dtype), kernel, self.stride[0]))
        return super().forward(input)

    def _dtype(self, input: Tensor) -> torch.dtype:
        device = input.device.type
        on = torch.is_autocast_enabled(device)
        return torch.get_autocast_dtype(device) if on else input.dtype

    def _shifted(self, maps: Tensor) -> Tensor:
        if self.bias is None:
            return maps
        return maps + self.bias.to(maps.dtype).view(-1, 1, 1)

    def _by_matrix(self, input: Tensor, height: int, width: int) -> Tensor:
        joined = places(*input.shape[-2:], self.stride)
        flat = input.permute(0, 2, 3, 1).flatten(1)  # b (h w c): a view where channels are last
        matrix = self._matrix(joined, self._dtype(input))
        found = F.linear(flat.to(matrix.dtype), matrix)
        return self._shifted(
            found.view(len(input), height, width, self.out_channels).permute(0, 3, 1, 2)
        )

    def _matrix(self, joined: Places, dtype: torch.dtype) -> Tensor:
        """Of the kernel as it is now; kept while that is frozen."""
        kernel = self.weight.to(dtype)
        if not is_frozen(self.weight) or self.weight.is_inference():
            return _Matrix.apply(kernel, joined)
        state = (self.weight.data_ptr(), self.weight._version)
        kept = self.__dict__.get("_kept")
        if kept is None or kept.state != state:
            kept = self.__dict__["_kept"] = _Kept(state, self.weight.detach())
        if (joined, dtype) not in kept.matrices:
            kept.matrices[joined, dtype] = _Matrix.apply(kernel, joined)
        return kept.matrices[joined, dtype]


def with_small_maps(network: nn.Module) -> nn.Module:
    """The network, its plain convolutions as `SmallMapConv2d`: same parameters in the same place.

    Subclasses of `nn.Conv2d` are left alone: they have a forward of their own.
    """
    for layer in network.modules():
        if type(layer) is not nn.Conv2d or layer.stride not in ((1, 1), (2, 2)):
            continue
        about = (layer.kernel_size, layer.padding, layer.dilation, layer.groups, layer.padding_mode)
        if about in [((size, size), (size // 2,) * 2, (1, 1), 1, "zeros") for size in _POSITIONS]:
            layer.__class__ = SmallMapConv2d
    return network
