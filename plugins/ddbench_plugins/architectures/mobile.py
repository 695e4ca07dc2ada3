"""Small networks of torchvision, with first strides that suit the images' size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import torch

from ddbench import hookimpl
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

Model: TypeAlias = Literal["mobilenet_v2", "shufflenet_v2_x0_5", "efficientnet_b0"]
SMALL_BELOW = 64
"""From so many pixels on, `auto` takes the ordinary strides."""
Stem: TypeAlias = Literal["auto", "imagenet", "small"]


class Mobile(Architecture):
    """A MobileNetV2, ShuffleNetV2 or EfficientNet, freshly initialised.

    References:
        [1] Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
        [2] Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design,
            ECCV 2018.
        [3] Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
            ICML 2019.
    """

    model: Model = "mobilenet_v2"
    """Name in torchvision; other networks are to be had as `timm:NAME`."""
    stem: Stem = "auto"
    """"imagenet": a first convolution of stride 2 and, if the network has it, max-pooling. "small":
    stride 1, no pooling. "auto": "small" below 64 pixels, "imagenet" from 64 on."""

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        from torchvision.models import get_model

        network: Any = get_model(self.model, weights=None, num_classes=info.num_classes)
        small = info.resolution < SMALL_BELOW if self.stem == "auto" else self.stem == "small"
        block = network.conv1 if self.model.startswith("shufflenet") else network.features[0]
        block[0] = make_first_layer(block[0], info.shape[0], small)
        if small and hasattr(network, "maxpool"):
            network.maxpool = torch.nn.Identity()
        return network

    def classifier(self, module: torch.nn.Module) -> str:
        return "fc" if hasattr(module, "fc") else "classifier.1"


def make_first_layer(old: Any, channels: int, small: bool) -> torch.nn.Conv2d:
    """Makes a convolution like `old` for so many channels, of stride 1 if the images are small."""
    stride, bias = 1 if small else old.stride, old.bias is not None
    layer = torch.nn.Conv2d(
        channels, old.out_channels, old.kernel_size, stride, old.padding, bias=bias
    )
    torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return layer


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    return {model: Mobile(model) for model in get_args(Model)}
