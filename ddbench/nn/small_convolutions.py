"""Convolutions of small maps as matrix products."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.nn.frozen_layers import LeanConv2d, is_frozen
from ddbench.nn.patches import convolved

Places = tuple[tuple[tuple[int, int] | None, ...], ...]
"""For every output pixel and every input pixel the tap that joins them, if any."""


@functools.cache
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


def matrix_of(kernel: Float[Tensor, "d c 3 3"], joined: Places) -> Float[Tensor, "jd ic"]:
    """What does to a flattened map, channels last, what the kernel does to the map.

    Args:
        kernel: Of a convolution padded by one.
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
        if torch.compiler.is_compiling() or not self._is_product(input):
            return super().forward(input)
        device, matrix = input.device.type, None
        on = torch.is_autocast_enabled(device)
        kernel = self.weight.to(torch.get_autocast_dtype(device) if on else input.dtype)
        if self.kernel_size[0] == 3 and max(input.shape[-2:]) <= 2:
            joined = places(*input.shape[-2:], self.stride)
            matrix = functools.partial(self._matrix, joined)
        maps = convolved(input.to(kernel.dtype), kernel, self.stride[0], matrix)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(-1, 1, 1)

    def _is_product(self, input: Tensor) -> bool:
        """Whether a product is at least as fast as the convolution."""
        height, width = input.shape[-2:]
        positions = -(-height // self.stride[0]) * -(-width // self.stride[0])
        size, strided = self.kernel_size[0], self.stride == (2, 2)
        if size == 3 and max(height, width) <= 2 and (strided or positions == 1):
            return True
        # Of one stride and a frozen kernel, oneDNN's are as fast but on the smallest maps.
        slow = strided or not is_frozen(self.weight) or (size == 3 and max(height, width) <= 2)
        return input.device.type == "cpu" and slow and positions <= _POSITIONS[size]

    def _matrix(self, joined: Places, kernel: Tensor) -> Tensor:
        """Of the kernel as it is now; kept while that is frozen."""
        passing = self.weight.is_inference() or torch.is_inference_mode_enabled()
        if passing or not is_frozen(self.weight):
            return matrix_of(kernel, joined)
        state = (self.weight.data_ptr(), self.weight._version)
        kept = self.__dict__.get("_kept")
        if kept is None or kept.state != state:
            kept = self.__dict__["_kept"] = _Kept(state, self.weight.detach())
        if (joined, kernel.dtype) not in kept.matrices:
            kept.matrices[joined, kernel.dtype] = matrix_of(kernel, joined)
        return kept.matrices[joined, kernel.dtype]


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
