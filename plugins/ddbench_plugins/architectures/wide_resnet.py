"""Wide residual networks for small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge

from ddbench import hookimpl
from ddbench.api.options import Rule
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo


class WideResNet(Architecture):
    """A wide residual network, as for CIFAR.

    References:
        [1] Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016.
    """

    depth: Annotated[int, Rule(lambda d: d >= 10 and d % 6 == 4, "10, 16, 22, …")] = 16
    """Layers with weights: 6 n + 4."""
    widen: Annotated[int, Ge(1)] = 2
    """How much wider than the usual 16, 32 and 64 channels."""

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        from ddbench_plugins.architectures._wide_resnet import WideResNetwork

        blocks = (self.depth - 4) // 6
        return WideResNetwork(info.shape[0], info.num_classes, blocks, self.widen)

    def classifier(self, module: torch.nn.Module) -> str:
        return "fc"


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    return {"wide_resnet16_2": WideResNet(16, 2)}
