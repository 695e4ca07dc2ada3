"""The network of a wide ResNet, imported when one is built: to define it takes torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn


class _Block(nn.Module):
    """Adds to its input what twice [BatchNorm, ReLU, 3x3 convolution] make of it."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        changes = inside != outside or stride != 1
        self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False) if changes else None

    def forward(self, x: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b d i j"]:
        before = F.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(before)
        return kept + self.conv2(F.relu(self.bn2(self.conv1(before))))


class WideResNetwork(nn.Module):
    """A 3x3 convolution, three stages of blocks, BatchNorm, average pooling, one layer `fc`."""

    def __init__(self, channels: int, classes: int, blocks: int, widen: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        inside = 16
        for stage, width in enumerate((16 * widen, 32 * widen, 64 * widen)):
            for index in range(blocks):
                stages.append(_Block(inside, width, 2 if stage and not index else 1))
                inside = width
        self.blocks = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(inside)
        self.fc = nn.Linear(inside, classes)

    def forward(self, images: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b k"]:
        maps = F.relu(self.norm(self.blocks(self.conv(images))))
        return self.fc(maps.mean((2, 3)))
