"""Small networks against torchvision's own; strides that suit the images."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torchvision.models import get_model

from ddbench.api.errors import DDBenchError
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.mobile import Mobile, Model


@pytest.mark.parametrize("model", get_args(Model))
def test_large_images_get_torchvisions_network(model: str) -> None:
    found = Mobile(model).build(tiny_info(classes=7, pixels=224))
    wanted = get_model(model, weights=None, num_classes=7)
    shapes = {name: value.shape for name, value in found.state_dict().items()}
    assert shapes == {name: value.shape for name, value in wanted.state_dict().items()}
    strides = [m.stride for m in found.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [m.stride for m in wanted.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("model", get_args(Model))
def test_small_and_grey_images_keep_their_size_at_first(model: str) -> None:
    info = tiny_info(pixels=32, channels=1)
    network = Mobile(model).build(info).eval()
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert (first.in_channels, first.stride) == (1, (1, 1))
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 3)
    if hasattr(network, "maxpool"):
        assert isinstance(network.maxpool, nn.Identity)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises((DDBenchError, TypeCheckError), match="mobilenet_v9"):
        Mobile("mobilenet_v9").build(tiny_info())
