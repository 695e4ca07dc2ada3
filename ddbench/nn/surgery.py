"""Layers and forwards of a network replaced in place: the one way in for hand-written kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ddbench.api.plain import use_plain_operations

Forward = Callable[..., Any]


def replace_layers(
    network: nn.Module,
    replacements: Mapping[type[nn.Module], type[nn.Module]],
    fits: Callable[[Any], bool] = lambda layer: True,
) -> nn.Module:
    """Gives layers of a network another class, with the same parameters in the same place.

    With `DDBENCH_PLAIN=1` none is replaced.

    Args:
        network: Changed in place, and returned.
        replacements: New classes by old ones. Layers of subclasses are left alone, for they have a
            forward of their own.
        fits: Tells whether the new class can do what a layer does.
    """
    if not use_plain_operations():
        for layer in network.modules():
            other = replacements.get(type(layer))
            if other is not None and fits(layer):
                layer.__class__ = other
    return network


def move_network(network: nn.Module, device: str) -> nn.Module:
    """Moves a network to a device, its kernels channels_last like the images; at one go.

    Layouts of kernels with one input channel, and so the last digits on a device, depend on that.
    """
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # no such stub


@contextlib.contextmanager
def stand_in(forwards: Iterable[tuple[nn.Module, Forward]]) -> Iterator[None]:
    """Puts other forwards in the place of modules' own, but where another one stands already."""
    free = [(module, other) for module, other in forwards if "forward" not in vars(module)]
    for module, other in free:
        module.forward = other
    try:
        yield
    finally:
        for module, _ in free:
            del module.forward
