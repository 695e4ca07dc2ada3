"""The network of a ConvNet, imported when one is built: to define it takes torch."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import nn


class ConvNet(nn.Module):
    """`depth` times [3x3 convolution, normalisation, ReLU, 2x2 average pooling], then one layer.

    Args:
        shape: Channels, height, width of an image.
        classes: Number of logits.
        depth: Number of blocks, each of which halves the image.
        width: Channels of every block.
        norm: Kind of normalisation.
        padding: Of the first convolution; the others have 1.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        depth: int,
        width: int,
        norm: Literal["instance", "batch"],
        padding: int,
    ) -> None:
        super().__init__()
        channels, height, wide = shape
        blocks: list[nn.Module] = []
        for index in range(depth):
            into, around = (width, 1) if index else (channels, padding)
            blocks += [
                nn.Conv2d(into, width, kernel_size=3, padding=around),
                nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(width, width),
                nn.ReLU(),
                nn.AvgPool2d(2),
            ]
        grown = 2 * (padding - 1)
        positions = ((height + grown) >> depth) * ((wide + grown) >> depth)
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(width * positions, classes)

    def forward(self, images: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b k"]:
        if images.device.type == "cpu":  # where poolings of channels first take three times as long
            images = images.contiguous(memory_format=torch.channels_last)
        return self.classifier(self.features(images).flatten(1))  # b (width positions)
