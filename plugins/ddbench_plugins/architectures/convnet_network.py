"""The network of a ConvNet, imported when one is built: to define it takes torch."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ddbench_plugins.architectures.convnet import Norm, first_padding


class ConvNet(nn.Module):
    """`depth` times [3x3 convolution, normalisation, ReLU, 2x2 average pooling], then one layer.

    Args:
        shape: Channels, height, width of an image.
        classes: Number of logits.
        depth: Number of blocks, each of which halves the image.
        width: Channels of every block.
        norm: Kind of normalisation.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, depth: int, width: int, norm: Norm
    ) -> None:
        super().__init__()
        channels, height, wide = shape
        pad = first_padding(shape)
        blocks: list[nn.Module] = []
        for index in range(depth):
            blocks += [
                nn.Conv2d(
                    width if index else channels, width, kernel_size=3, padding=1 if index else pad
                ),
                nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(width, width),
                nn.ReLU(),
                nn.AvgPool2d(2),
            ]
        grown = 2 * (pad - 1)
        positions = ((height + grown) >> depth) * ((wide + grown) >> depth)
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(width * positions, classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.classifier(self.features(images).flatten(1))  # b (width positions)
