"""Which parts of a network are computed again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.nn.checkpointing import list_blocks
from ddbench.registry import Registry
from ddbench.testing import tiny_info


def _block(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def test_blocks_are_members_with_layers_of_their_own() -> None:
    inner = [_block(nn.ReLU()), _block(nn.Conv2d(3, 3, 1), nn.ReLU())]
    network = nn.Sequential()
    network.stem = nn.Conv2d(3, 3, 1)
    network.body = nn.Sequential(*inner, nn.Flatten())
    network.head = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    assert list(list_blocks(network)) == inner


def test_sequences_of_sequences_are_looked_into() -> None:
    deep = [_block(nn.ReLU()), _block(nn.ReLU())]
    network = nn.ModuleDict({"body": nn.Sequential(nn.Sequential(*deep), _block(nn.ReLU()))})
    assert list(list_blocks(network)) == [*deep, network["body"][1]]


@pytest.mark.parametrize(
    ("name", "pixels", "count"),
    [("resnet18", 32, 8), ("resnet50", 32, 16), ("vit_tiny", 32, 12), ("mobilenet_v2", 32, 19)],
)
def test_networks_of_the_field_have_them(
    registry: Registry, name: str, pixels: int, count: int
) -> None:
    module = registry.get("architecture", name).build(tiny_info(classes=4, pixels=pixels))
    found = list(list_blocks(module))
    assert len(found) == count
    apart = {id(layer) for block in found for layer in block.modules()}
    assert len(apart) == sum(len(list(block.modules())) for block in found)  # none inside another
    assert isinstance(module(torch.zeros(2, 3, pixels, pixels)), torch.Tensor)
