"""Wide residual networks: their known size, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from ddbench.api.errors import DDBenchError
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.wide_resnet import WideResNet


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_wrn_16_2_has_its_size() -> None:
    """691,674 weights for ten classes: 0.7 million in the paper."""
    network = WideResNet(16, 2).build(replace(tiny_info(classes=10), shape=(3, 32, 32)))
    assert size(network) == 691_674
    assert (
        sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in network.modules()) == 13
    )


def test_a_depth_that_is_none_is_refused() -> None:
    with pytest.raises(DDBenchError, match="depth is 15"):
        WideResNet(15).build(tiny_info())
