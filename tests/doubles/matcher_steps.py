"""Steps of a smooth network in float64, for the tests of matchers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ddbench.api.types import Activations, Network, Step
from ddbench_plugins.matchers.mean import Mean

LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 2])


WEIGHTS = torch.tensor([0.2, 0.9, 0.3, 0.1, 0.5, 0.7, 0.3], dtype=torch.float64)


DIM = 5


class Tiny(nn.Module):
    """Smooth, in float64, with a spatial layer and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(2, DIM, 2)
        self.fc = nn.Linear(DIM, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.conv(x)).mean((2, 3)))


NETWORK = Network(Tiny(), "fc")


def tensors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step_of(matcher: Any, images: Tensor, **changes: Any) -> Step:
    """A step as the recover stage makes it, with hooks of its own."""
    found: dict[Any, Any] = {}
    handles = []
    modules = dict(NETWORK.module.named_modules())
    for tap in matcher.taps(NETWORK):

        def before(_: Any, inputs: Any, tap: Any = tap) -> None:
            found[tap] = tap.reduction.reduce(inputs[0])

        def after(_: Any, __: Any, output: Any, tap: Any = tap) -> None:
            found[tap] = tap.reduction.reduce(output)

        module = modules[tap.layer]
        inward = tap.side == "input"
        handles.append(
            module.register_forward_pre_hook(before)
            if inward
            else module.register_forward_hook(after)
        )
    logits = NETWORK.module(images)
    for handle in handles:
        handle.remove()
    step = Step(
        images=images,
        labels=LABELS[: len(images)],
        weights=WEIGHTS[: len(images)],
        atoms=tensors(len(images), DIM, seed=5),
        acts=Activations(logits, found),
        network=NETWORK,
        known=real_features(matcher.statistics),
        progress=0.5,
    )
    return dataclasses.replace(step, **changes)


def real_features(statistics: Any) -> Mapping[Any, dict[str, Tensor]]:
    labels = torch.arange(30) % 3
    return {s: {"features": tensors(30, DIM, seed=7) / 3, "labels": labels} for s in statistics}


def tiny_features(images: Tensor) -> Tensor:
    module = NETWORK.module
    return torch.tanh(module.conv(images)).mean((2, 3))


def by_hand_means(images: Tensor, weights: Tensor) -> Tensor:
    features = tiny_features(images)
    (known,) = real_features(Mean().statistics).values()
    total = torch.zeros((), dtype=torch.float64)
    for cls in range(3):
        share = weights * LABELS.eq(cls)
        gap = share @ features / share.sum() - known["features"][known["labels"] == cls].mean(0)
        total = total + (gap**2).sum()
    return total
