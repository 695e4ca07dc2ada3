"""ConvNets: features, normalisation, what is too deep."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import Network
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.convnet import ConvNetD, choose_padding

REFUSED = (DDBenchError, TypeCheckError)
"""The latter comes first where a test run checks annotations."""


@pytest.mark.parametrize(
    ("depth", "resolution", "channels", "features"),
    [(3, 32, 3, 2048), (4, 64, 3, 2048), (3, 28, 1, 2048), (3, 28, 3, 1152), (3, 8, 1, 128)],
)
def test_convnet_feature_dimension(depth: int, resolution: int, channels: int, features: int):
    module = ConvNetD(depth).build(tiny_info(5, resolution, channels))
    assert module.classifier.in_features == features
    assert module(torch.zeros(2, channels, resolution, resolution)).shape == (2, 5)


def test_choose_padding_is_3_for_mnist_alone():
    assert [choose_padding(s) for s in ((1, 28, 28), (3, 28, 28), (1, 8, 8))] == [3, 1, 1]


def test_convnet_norms():
    batch = Network(ConvNetD(3, norm="batch").build(tiny_info(5, 32)), "classifier")
    instance = Network(ConvNetD(3).build(tiny_info(5, 32)), "classifier")
    assert len(batch.norm_layers()) == 3
    assert instance.norm_layers() == ()
    groups = [m for m in instance.module.modules() if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels, m.affine) for m in groups] == [(128, 128, True)] * 3


def test_group_norm_of_one_channel_is_instance_norm():
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(nn.GroupNorm(4, 4)(x), nn.InstanceNorm2d(4)(x))


def test_convnet_says_which_depth_fits():
    with pytest.raises(IncompatibleError) as caught:
        ConvNetD(4).build(tiny_info(5, 8))
    assert "images of 8 pixels can be halved 3 times" in str(caught.value)
    assert "tiny@16" in caught.value.hint
    with pytest.raises(REFUSED, match="layer"):
        ConvNetD(3, norm="layer").build(tiny_info(5, 32))  # pyright: ignore
