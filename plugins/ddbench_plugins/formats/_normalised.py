"""Pixels and names of files in the layouts of DC's family: normalised floats, and who made them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped

from ddbench.api.distilled_set import Pixels, PortableSet, to_normalised
from ddbench.api.errors import DDBenchError

Channels = tuple[float, ...]
NORMALISATION: Mapping[str, tuple[Channels, Channels]] = {
    "CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "TinyImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and deviation of the released codes (VICO-UoE/DatasetCondensation), by their names."""
DATASETS: Mapping[str, str] = {
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "FashionMNIST": "fashion_mnist",
    "TinyImageNet": "tiny_imagenet",
}
STUDENTS: Mapping[str, str] = {
    "ConvNet": "convnet3",
    **{f"ConvNetD{depth}": f"convnet{depth}" for depth in (3, 4, 5, 6)},
    "ConvNetBN": "convnet3_bn",
    "ResNet18": "resnet18",
}
FAMILY: Mapping[str, Any] = {"labels": "hard", "protocol": "dc"}
"""Labels and protocol by which these methods judge their sets."""
_LARGEST = 32
"""Brighter than any normalised white; bytes that were saved as floats are."""
_NAME = re.compile(r"res_(?P<method>[^_]+)_(?P<dataset>[^_]+)_(?P<model>[^_]+)_\d+ipc")


def read_name(stem: str) -> tuple[dict[str, Any], Channels, Channels]:
    """Reads a name such as `res_DM_CIFAR10_ConvNet_10ipc`, but for its count of images.

    Returns:
        Fields of a card, and mean and deviation of the pixels, () where the name says nothing.
    """
    match = _NAME.match(stem)
    if match is None:
        return dict(FAMILY), (), ()
    mean, std = NORMALISATION.get(match["dataset"], ((), ()))
    card = {
        "method": match["method"].lower(),
        "dataset": DATASETS.get(match["dataset"]),
        "student": STUDENTS.get(match["model"]),
        **FAMILY,
    }
    return {field: value for field, value in card.items() if value is not None}, mean, std


def guess_space(images: Shaped[torch.Tensor, "n c h w"], path: Path, otherwise: Pixels) -> Pixels:
    """Tells bytes from floats between black and white, and from what the layout says otherwise.

    Black is below 0 where images are normalised or whitened.

    Raises:
        DDBenchError: floats from 0 to 255.
    """
    if images.dtype == torch.uint8:
        return "bytes"
    if not images.dtype.is_floating_point or not images.numel() or bool((images < 0).any()):
        return otherwise
    largest = images.max().item()
    if _LARGEST < largest < math.inf:
        raise DDBenchError(
            f"{path}: its images are floats from {images.min().item():g} to {largest:g}",
            "expected: bytes, or floats that are normalised, whitened or from 0 to 1",
            hint="save them as bytes: images.round().to(torch.uint8)",
        )
    return "unit" if largest <= 1 else otherwise


def normalise(distilled: PortableSet, layout: str) -> Float[torch.Tensor, "n c h w"]:
    """Returns images as networks take them; whitened ones and those of unknown space as they are.

    Raises:
        DDBenchError: mean and deviation are not known.
    """
    if distilled.pixels in ("normalised", "whitened", "unknown"):
        return distilled.images
    if len(distilled.mean) != distilled.images.shape[1]:
        raise DDBenchError(
            f"{layout} holds normalised images, and this set does not say mean and deviation",
            hint="import it with --dataset NAME first",
        )
    return to_normalised(distilled.images, distilled.mean, distilled.std)
