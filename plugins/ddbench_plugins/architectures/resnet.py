"""Residual networks of torchvision, with a first layer that suits the images' size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

Stem: TypeAlias = Literal["auto", "imagenet", "small", "tiny_imagenet"]

SMALL_BELOW = 64
"""From so many pixels on, `auto` takes the ordinary stem."""


class ResNet(Architecture):
    """A residual network with BatchNorm; `fc` is its classifier.

    References:
        [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """

    depth: Literal[18, 34, 50, 101, 152] = 18
    """Layers with weights; networks of other depths are to be had as `timm:NAME`."""
    stem: Stem = "auto"
    """"imagenet": 7x7 stride 2, then max-pooling. "small": 3x3 stride 1, no pooling.
    "tiny_imagenet": 3x3 stride 2 padding 3, no pooling (WMDD's for Tiny ImageNet at 224 pixels).
    "auto": "small" below 64 pixels, "imagenet" from 64 on."""
    pretrained: bool = False
    """Start from torchvision's ImageNet-1K weights (V1); the classes must be WNIDs of ImageNet-1K,
    whose rows of the classifier are kept."""

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        """Builds a network for the channels and classes of a data set.

        Raises:
            DDBenchError: the pretrained weights cannot be had.
            IncompatibleError: pretrained weights do not fit the data set or the stem.
        """
        from torchvision.models import get_model

        if self.pretrained:
            return self._load_pretrained(info)
        name, classes = f"resnet{self.depth}", info.num_classes
        network: Any = get_model(name, weights=None, num_classes=classes)
        channels, stem = info.shape[0], choose_stem(self.stem, info.resolution)
        if stem != "imagenet" or channels != 3:
            network.conv1 = make_first_layer(stem, channels)
        if stem != "imagenet":
            network.maxpool = torch.nn.Identity()
        return network

    def classifier(self, module: torch.nn.Module) -> str:
        return "fc"

    def _load_pretrained(self, info: DatasetInfo) -> torch.nn.Module:
        from torchvision.models import get_model

        from ddbench_plugins.datasets.imagenet import list_titles

        rows = {wnid: row for row, wnid in enumerate(list_titles())}
        foreign = [name for name in info.classes if name not in rows]
        stem = choose_stem(self.stem, info.resolution)
        if foreign or info.shape[0] != 3 or stem != "imagenet":
            raise IncompatibleError(
                f"the pretrained resnet{self.depth} does not fit data set '{info.name}'",
                f"classes that are no WNID of ImageNet-1K: {', '.join(foreign[:5]) or 'none'}",
                f"channels: {info.shape[0]}, expected 3; stem: {stem}, expected imagenet",
                hint="leave pretrained off, so that the squeeze stage trains the network",
            )
        try:
            network: Any = get_model(f"resnet{self.depth}", weights="IMAGENET1K_V1")
        except OSError as fault:
            raise DDBenchError(
                f"could not download the weights of resnet{self.depth}",
                f"{type(fault).__name__}: {fault}",
                hint="try again with network access, or leave pretrained off",
            ) from fault
        chosen = [rows[name] for name in info.classes]
        narrow = torch.nn.Linear(network.fc.in_features, len(chosen))
        narrow.weight.data = network.fc.weight.data[chosen].clone()
        narrow.bias.data = network.fc.bias.data[chosen].clone()
        network.fc = narrow
        return network


def choose_stem(stem: Stem, resolution: int) -> Stem:
    """Returns the stem that "auto" stands for at a resolution; any other is itself."""
    if stem == "auto":
        return "small" if resolution < SMALL_BELOW else "imagenet"
    return stem


def make_first_layer(stem: Stem, channels: int) -> torch.nn.Conv2d:
    """Makes the first convolution, initialised as torchvision's residual networks are."""
    kernel, stride, padding = {
        "imagenet": (7, 2, 3),
        "small": (3, 1, 1),
        "tiny_imagenet": (3, 2, 3),
    }[stem]
    layer = torch.nn.Conv2d(channels, 64, kernel, stride, padding, bias=False)
    torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    return {
        "resnet18": ResNet(18),
        "resnet34": ResNet(34),
        "resnet50": ResNet(50),
        "resnet101": ResNet(101),
    }
