"""Wide residual networks for small images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class WideResNet:
    """A wide residual network, as for CIFAR.

    References:
        [1] Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016.
    """

    version: ClassVar[int] = 1

    depth: int = 16
    """Layers with weights: 6 n + 4."""
    widen: int = 2
    """How much wider than the usual 16, 32 and 64 channels."""

    def build(self, info: DatasetInfo) -> nn.Module:
        """A network for the channels and classes of a data set.

        Raises:
            DDBenchError: there is no such depth or width.
        """
        from ddbench_plugins.architectures._wide_resnet import WideResNetwork

        blocks, rest = divmod(self.depth - 4, 6)
        if rest or blocks < 1 or self.widen < 1:
            raise DDBenchError(
                f"no wide resnet of depth {self.depth} and width {self.widen}",
                "expected: a depth of 10, 16, 22, 28, …; a width of 1 or more",
            )
        return WideResNetwork(info.shape[0], info.num_classes, blocks, self.widen)

    def classifier(self, module: nn.Module) -> str:
        return "fc"


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    return {"wide_resnet16_2": WideResNet(16, 2)}
