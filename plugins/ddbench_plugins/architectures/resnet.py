"""Residual networks of torchvision, with a first layer that suits the images' size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import torch

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

if TYPE_CHECKING:
    from torch import nn

Stem: TypeAlias = Literal["auto", "imagenet", "small", "tiny_imagenet"]

DEPTHS = (18, 34, 50, 101, 152)
SMALL_BELOW = 64
"""From so many pixels on, `auto` takes the ordinary stem."""


@dataclass(frozen=True, slots=True)
class ResNet:
    """A residual network with BatchNorm; `fc` is its classifier.

    References:
        [1] He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """

    version: ClassVar[int] = 1

    depth: int = 18
    """18, 34, 50, 101 or 152."""
    stem: Stem = "auto"
    """"imagenet": 7x7 stride 2, then max-pooling. "small": 3x3 stride 1, no pooling.
    "tiny_imagenet": 3x3 stride 2 padding 3, no pooling (WMDD's for Tiny ImageNet at 224 pixels).
    "auto": "small" below 64 pixels, "imagenet" from 64 on."""
    pretrained: bool = False
    """Start from torchvision's ImageNet-1K weights (V1); the classes must be WNIDs of ImageNet-1K,
    whose rows of the classifier are kept."""

    def build(self, info: DatasetInfo) -> nn.Module:
        """A network for the channels and classes of a data set.

        Raises:
            DDBenchError: there is no such depth or stem, or the pretrained weights cannot be had.
            IncompatibleError: pretrained weights do not fit the data set or the stem.
        """
        from torchvision.models import get_model

        if self.depth not in DEPTHS:
            raise DDBenchError(
                f"unknown depth {self.depth} of a resnet",
                f"known: {', '.join(map(str, DEPTHS))}",
                hint="networks of other depths: timm:NAME",
            )
        if self.pretrained:
            return self._pretrained(info)
        network = get_model(f"resnet{self.depth}", weights=None, num_classes=info.num_classes)
        channels, stem = info.shape[0], stem_for(self.stem, info.resolution)
        if stem != "imagenet" or channels != 3:
            network.conv1 = first_layer(stem, channels)
        if stem != "imagenet":
            network.maxpool = torch.nn.Identity()
        return network

    def classifier(self, module: nn.Module) -> str:
        return "fc"

    def _pretrained(self, info: DatasetInfo) -> nn.Module:
        from torchvision.models import get_model

        from ddbench_plugins.datasets.imagenet import list_titles

        rows = {wnid: row for row, wnid in enumerate(list_titles())}
        foreign = [name for name in info.classes if name not in rows]
        stem = stem_for(self.stem, info.resolution)
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
        kept = [rows[name] for name in info.classes]
        narrow = torch.nn.Linear(network.fc.in_features, len(kept))
        narrow.weight.data = network.fc.weight.data[kept].clone()
        narrow.bias.data = network.fc.bias.data[kept].clone()
        network.fc = narrow
        return network


def stem_for(stem: Stem, resolution: int) -> Stem:
    """The stem that "auto" stands for at a resolution; any other is itself.

    Raises:
        DDBenchError: no such stem.
    """
    known = ("auto", "imagenet", "small", "tiny_imagenet")
    if stem not in known:
        raise DDBenchError(f"unknown stem '{stem}' of a resnet", f"known: {', '.join(known)}")
    if stem == "auto":
        return "small" if resolution < SMALL_BELOW else "imagenet"
    return stem


def first_layer(stem: Stem, channels: int) -> nn.Conv2d:
    """The first convolution, initialised as torchvision's residual networks are."""
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
    return {f"resnet{depth}": ResNet(depth) for depth in (18, 34, 50, 101)}
