"""Any network of timm by name, and two small vision transformers that fit the images."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo

PATCH = 16
"""Pixels a side of a transformer's patch, from `PATCH_FROM` pixels on."""
PATCH_FROM = 64
SMALL_GRID = 8
"""Patches a side that smaller images are cut into."""
SMALLEST_PATCH = 4
"""Least pixels a side: a patch of one or two tells so little that 80 updates on digits teach
nothing."""
WARMUP = 0.1
"""Part of the updates over which the learning rate rises, as transformers are usually trained."""


class VisionTransformer(Architecture):
    """A vision transformer of timm's for images of any size.

    Patches are of 16 pixels from 64 pixels on; smaller images are cut into 8 x 8 patches, or as
    near to it as divides them, of 4 pixels or more.

    References:
        [1] Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021.
        [2] Touvron et al., Training data-efficient image transformers, ICML 2021 (tiny, small).
    """

    version: ClassVar[int] = 2  # patches of 4 pixels or more
    warmup: ClassVar[float] = WARMUP

    model: str = "vit_tiny_patch16_224"
    """A vision transformer's name in timm."""
    patch: int = 0
    """Pixels a side of a patch; 0 to choose by resolution."""

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        """Builds a network for the images and classes of a data set.

        Raises:
            DDBenchError: timm has no such network, or it does not take the images.
        """
        patch = self.patch or choose_patch(info.resolution)
        return create_network(self.model, info, img_size=info.resolution, patch_size=patch)

    def classifier(self, module: torch.nn.Module) -> str:
        return find_classifier(module)


class Timm(Architecture):
    """A network of timm, freshly initialised: `timm:convnext_atto`.

    References:
        [1] Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models.
    """

    argument: ClassVar[str] = "model"
    warmup: ClassVar[float] = WARMUP

    model: str = ""
    """A name out of `timm.list_models()`; `timm:NAME` on the command line."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Refused when a run is planned, not when its images are made. timm is loaded for that, and
        # for nobody who does not name a network of it.
        if self.model:
            check_name(self.model)

    def build(self, info: DatasetInfo) -> torch.nn.Module:
        """Builds a network for the images and classes of a data set.

        Raises:
            DDBenchError: timm has no such network, or it does not take the images.
        """
        return create_network(self.model, info)

    def classifier(self, module: torch.nn.Module) -> str:
        return find_classifier(module)


def choose_patch(resolution: int) -> int:
    """Returns the pixels a side of a patch: the usual, or the next that divides the image."""
    small = min(resolution, max(SMALLEST_PATCH, resolution // SMALL_GRID))
    usual = PATCH if resolution >= PATCH_FROM else small
    return next((p for p in range(usual, 2 * usual) if resolution % p == 0), usual)


def check_name(model: str) -> None:
    """Refuses a network that timm does not have.

    Raises:
        DDBenchError: it does not, with those of the nearest names.
    """
    import timm

    if timm.is_model(model):
        return
    names = timm.list_models()
    near = difflib.get_close_matches(model, names, n=8, cutoff=0.4)
    every = "python -c 'import timm; print(timm.list_models())'"
    raise DDBenchError(
        f"unknown timm network '{model}'",
        *([f"nearest: {', '.join(near)}"] if near else []),
        f"timm knows {len(names):,}: {every}",
        hint=f"did you mean '{near[0]}'?" if near else "take a name of that list",
    )


def create_network(model: str, info: DatasetInfo, **options: Any) -> torch.nn.Module:
    """Creates a network of timm without weights, tried on one black image.

    Args:
        model: Its name in timm.
        info: What it is for; networks of fixed input size are told the resolution.
        options: More options of the network.

    Raises:
        DDBenchError: timm has no such network.
        IncompatibleError: it does not take the images, or has no single classifier.
    """
    import timm

    check_name(model)
    settings = timm.get_pretrained_cfg(model)
    if settings is not None and settings.fixed_input_size:
        options = {"img_size": info.resolution, **options}
    try:
        network: torch.nn.Module = timm.create_model(
            model, in_chans=info.shape[0], num_classes=info.num_classes, **options
        )
        with torch.no_grad():
            network.eval()(torch.zeros(1, *info.shape))
    except Exception as fault:  # each network has its own way to say what it cannot take
        raise IncompatibleError(
            f"timm network '{model}' does not take the images of data set '{info.name}'",
            f"images: {' x '.join(map(str, info.shape))}",
            f"{type(fault).__name__}: {str(fault).partition(chr(10))[0]}",
            hint="a larger resolution, or another network",
        ) from fault
    find_classifier(network)  # refused before it is trained
    return network.train()


def find_classifier(module: torch.nn.Module) -> str:
    """Returns the name of the layer that timm calls the classifier.

    Raises:
        IncompatibleError: the network has not exactly one.
    """
    ask: Any = getattr(module, "get_classifier", None)
    layer = ask() if ask else None
    for name, part in module.named_modules():
        if part is layer:
            return name
    raise IncompatibleError(
        f"network {type(module).__name__} has no single classifier layer",
        f"timm names {type(layer).__name__}",
        hint="another network; distilled transformers, say, have two",
    )


@hookimpl
def ddbench_architectures() -> Mapping[str, Architecture]:
    return {
        "timm": Timm(),
        "vit_tiny": VisionTransformer("vit_tiny_patch16_224"),
        "vit_small": VisionTransformer("vit_small_patch16_224"),
    }
