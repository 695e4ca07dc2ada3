"""Layers and forwards that are replaced are so in place, and others are left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddbench.nn.surgery import replace_layers, stand_in


class Twice(nn.ReLU):
    """A ReLU that doubles."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Scaled(nn.Linear):
    """A linear layer of another class."""


def test_layers_of_exactly_one_class_are_replaced_with_their_parameters() -> None:
    class Own(nn.Linear):
        pass

    network = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 3)), Own(3, 2), nn.ReLU())
    before = list(network.parameters())
    assert replace_layers(network, {nn.Linear: Scaled, nn.ReLU: Twice}) is network
    assert [type(layer) for layer in network] == [Scaled, nn.Sequential, Own, Twice]
    assert type(network[1][0]) is Scaled
    assert all(one is other for one, other in zip(network.parameters(), before, strict=True))


def test_layers_that_do_not_fit_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    replace_layers(network, {nn.Linear: Scaled}, lambda layer: layer.in_features == 3)
    assert [type(layer) for layer in network] == [nn.Linear, Scaled]


def test_a_forward_stands_in_until_the_end_and_after_a_fault() -> None:
    layer, x = nn.ReLU(), torch.ones(2)
    with stand_in([(layer, lambda x: x + 5)]):
        assert layer(x).tolist() == [6, 6]
        with stand_in([(layer, lambda x: x - 5)]):  # another one stands already
            assert layer(x).tolist() == [6, 6]
        assert layer(x).tolist() == [6, 6]
    assert layer(x).tolist() == [1, 1]
    with pytest.raises(KeyError), stand_in([(layer, lambda x: x + 5)]):
        raise KeyError
    assert layer(x).tolist() == [1, 1]
