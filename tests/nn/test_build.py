"""Networks are built from seeds alone, and are restored with the weights they are given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo
from ddbench.nn.build import build_network, restore_network
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.convnet import ConvNetD

PART = ConvNetD(2, 8, norm="batch")


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in module.parameters()])


def test_weights_depend_on_the_seed_alone(info: DatasetInfo, ctx: Context) -> None:
    before = torch.get_rng_state()
    one = build_network(PART, info, 3, ctx)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(weights(build_network(PART, info, 3, ctx)), weights(one))
    assert not torch.equal(weights(build_network(PART, info, 4, ctx)), weights(one))


def test_kernels_are_channels_last_like_the_images(info: DatasetInfo, ctx: Context) -> None:
    module = build_network(PART, info, 0, ctx)
    kernels = [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_a_restored_network_is_frozen_and_answers_as_before(
    info: DatasetInfo, ctx: Context
) -> None:
    module = build_network(PART, info, 3, ctx)
    images = torch.randn(4, *info.shape)
    module.train()(images)  # moves the running statistics
    network = restore_network(PART, info, module.state_dict(), ctx)
    assert network.classifier == PART.classifier(module)
    assert not network.module.training
    assert not any(parameter.requires_grad for parameter in network.module.parameters())
    torch.testing.assert_close(network.module(images), module.eval()(images))


def test_weights_of_another_architecture_are_named(info: DatasetInfo, ctx: Context) -> None:
    given = build_network(PART, info, 0, ctx).state_dict()
    name = next(iter(given))
    given["stranger"] = given.pop(name)
    with pytest.raises(DDBenchError, match="do not fit the architecture") as caught:
        restore_network(PART, info, given, ctx)
    assert caught.value.facts == (f"missing: {name}", "unexpected: stranger")
