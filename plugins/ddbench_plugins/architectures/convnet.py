"""ConvNet-D3 to ConvNet-D6: the small network on which most distillation methods were compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge

from ddbench import hookimpl
from ddbench.api.errors import IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

Norm: TypeAlias = Literal["instance", "batch"]


class ConvNetD(Architecture):
    """A ConvNet of some depth; the features are the last pooled map, flattened.

    "instance" is a group normalisation of one channel a group, with learned scale and shift.

    References:
        [1] Gidaris and Komodakis, Dynamic Few-Shot Visual Learning without Forgetting, CVPR 2018.
        [2] Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021.
    """

    depth: Annotated[int, Ge(1)] = 3
    """Blocks; usual are 3 at 32 pixels, 4 at 64, 5 at 128, 6 at 224."""
    width: Annotated[int, Ge(1)] = 128
    """Channels of every block."""
    norm: Norm = "instance"

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        """Builds a network for the images and classes of a data set.

        Raises:
            IncompatibleError: the images are too small to be halved so often.
        """
        from ddbench_plugins.architectures._convnet import ConvNet

        padding = choose_padding(info.shape)
        side = info.resolution + 2 * (padding - 1)
        if side >> self.depth == 0:
            fits = side.bit_length() - 1
            raise IncompatibleError(
                f"convnet{self.depth} is too deep for data set '{info.name}'",
                f"images of {info.resolution} pixels can be halved {fits} times",
                hint=f"a depth of {fits} or less, or {info.name.partition('@')[0]}"
                f"@{1 << self.depth}",
            )
        return ConvNet(info.shape, info.num_classes, self.depth, self.width, self.norm, padding)

    def classifier(self, module: torch.nn.Module) -> str:
        return "classifier"


def choose_padding(shape: tuple[int, int, int]) -> int:
    """Returns the first convolution's padding: 3 for grey images of 28 pixels, which become 32."""
    return 3 if shape[:2] == (1, 28) else 1


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    depths = (3, 4, 5, 6)
    return {
        **{f"convnet{depth}": ConvNetD(depth) for depth in depths},
        **{f"convnet{depth}_bn": ConvNetD(depth, norm="batch") for depth in depths},
    }
