"""The convolution that leaves out taps over padding is the convolution."""

import pytest
import torch
from torch import nn

from ddbench_plugins.architectures.resnet import FewPixelConv2d, crop_unused_taps


@pytest.mark.parametrize("side", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_values_and_gradients_equal_those_of_the_plain_convolution(side: int, stride: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, 3, stride, 1).double()
    network = nn.Sequential(nn.Conv2d(5, 7, 3, stride, 1).double())
    network[0].load_state_dict(plain.state_dict())
    crop_unused_taps(network)
    assert type(network[0]) is FewPixelConv2d
    images = torch.randn(4, 5, side, side, dtype=torch.float64)
    found, wanted = [], []
    for module, kept in ((network[0], found), (plain, wanted)):
        own = images.clone().requires_grad_(True)
        out = module(own)
        out.square().sum().backward()
        kept += [out, own.grad, module.weight.grad, module.bias.grad]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_other_convolutions_are_left_alone() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1, groups=4)
    )
    crop_unused_taps(network)
    assert all(type(layer) is nn.Conv2d for layer in network)
