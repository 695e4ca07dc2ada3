"""Crops, flips and mixes as values first, then applied to a whole batch in one resample.

A draw is a function of a generator alone, so that a view can be made again at any time: that is
what lets FKD labels be stored without storing crops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ddbench.api.tensors import send_to

_ATTEMPTS = 10


def draw_boxes(
    count: int,
    size: tuple[int, int],
    crop: tuple[float, float],
    ratio: tuple[float, float],
    rng: torch.Generator,
) -> Int[torch.Tensor, "n 4"]:
    """Draws boxes of random resized crops: top, left, height, width, in pixels.

    As torchvision's RandomResizedCrop: area uniform in `crop` times the image's, aspect ratio
    log-uniform in `ratio`, ten attempts, else the largest central box of an allowed ratio. A crop
    of (1, 1) is the whole image, of whatever ratio.
    """
    height, width = size
    areas = torch.rand(count, _ATTEMPTS, generator=rng) * (crop[1] - crop[0]) + crop[0]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspects = torch.exp(torch.rand(count, _ATTEMPTS, generator=rng) * (high - low) + low)
    wide = (areas * height * width * aspects).sqrt().round().long()
    tall = (areas * height * width / aspects).sqrt().round().long()
    fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
    rows = torch.arange(count)
    first = fits.float().argmax(1)
    w, h = wide[rows, first], tall[rows, first]
    place = torch.rand(count, 2, generator=rng)
    top = (place[:, 0] * (height - h + 1)).long().clamp(min=0)
    left = (place[:, 1] * (width - w + 1)).long().clamp(min=0)
    boxes = torch.stack([top, left, h, w], 1)
    boxes[~fits.any(1)] = torch.tensor(_centre_box(size, ratio))
    if tuple(crop) == (1.0, 1.0):
        boxes[:] = torch.tensor([0, 0, height, width])
    return boxes


def _centre_box(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    height, width = size
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = height, width
    if width / height < aspect:
        h = round(width / aspect)
    elif width / height > aspect:
        w = round(height * aspect)
    return (height - h) // 2, (width - w) // 2, h, w


def draw_flips(count: int, enabled: bool, rng: torch.Generator) -> Bool[torch.Tensor, " n"]:
    """Draws which images are mirrored; the draw is made even where it is not used."""
    drawn = torch.rand(count, generator=rng) < 0.5
    return drawn if enabled else torch.zeros(count, dtype=torch.bool)


def resample(
    images: Float[torch.Tensor, "b c h w"],
    boxes: Int[torch.Tensor, "b 4"],
    flips: Bool[torch.Tensor, " b"],
) -> Float[torch.Tensor, "b c h w"]:
    """Crops each image to its own box, resizes it back (bilinear) and mirrors it, in one resample.

    Equal to slicing, `interpolate(mode="bilinear", align_corners=False)` and flipping, image by
    image: coordinates are clamped to the box, so that no pixel outside it is seen.
    """
    _, _, height, width = images.shape
    boxes = send_to(boxes, images.device).to(images.dtype)
    top, left, h, w = (boxes[:, i, None] for i in range(4))
    y = _map_places(height, top, h, images)
    x = _map_places(width, left, w, images)
    flips = send_to(flips, images.device)
    x = torch.where(flips[:, None], x.flip(1), x)
    y = (2 * y + 1) / height - 1
    x = (2 * x + 1) / width - 1
    grid = torch.stack(
        [x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=3
    )
    return torch.nn.functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _map_places(
    size: int, start: torch.Tensor, extent: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """Maps output pixels of an axis to coordinates inside each box, [b size]."""
    places = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
    inside = (places[None] * (extent / size) - 0.5).clamp(min=0)
    return start + torch.minimum(inside, extent - 1)


def crop_all(
    images: Float[torch.Tensor, "b c h w"], box: Int[torch.Tensor, " 4"], flip: bool
) -> Float[torch.Tensor, "b c h w"]:
    """Crops and flips the whole batch alike, as the field's tensor transforms do."""
    top, left, h, w = (int(v) for v in box)
    view = images[:, :, top : top + h, left : left + w]
    if (h, w) != tuple(images.shape[2:]):
        view = torch.nn.functional.interpolate(
            view, images.shape[2:], mode="bilinear", align_corners=False
        )
    return view.flip(3) if flip else view


@dataclass(frozen=True, slots=True)
class Mix:
    """A CutMix or mixup of the images of one batch with each other."""

    kind: Literal["none", "cutmix", "mixup"]
    partners: Int[torch.Tensor, " b"]
    share: float
    """Share of each image that stays its own."""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, left, bottom, right of the box that a CutMix partner fills."""

    def apply(self, images: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """Mixes the images; labels have to be mixed by `share`."""
        if self.kind == "none":
            return images
        others = images[send_to(self.partners, images.device)]
        if self.kind == "mixup":
            return self.share * images + (1 - self.share) * others
        top, left, bottom, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return mixed


def draw_mix(
    kind: Literal["none", "cutmix", "mixup"],
    alpha: float,
    count: int,
    size: tuple[int, int],
    seed: int,
) -> Mix:
    """Draws one permutation, one share and one box for a batch (SRe2L's FKD).

    CutMix: lambda ~ Beta(alpha, alpha), a box of sides floor(side * sqrt(1 - lambda)) with a
    uniform centre, clipped at the border; the share is 1 minus the area that the box really covers.
    """
    rng = np.random.default_rng(seed)
    partners = torch.from_numpy(rng.permutation(count))
    if kind == "none" or count < 2:
        return Mix("none", torch.arange(count), 1.0)
    share = float(rng.beta(alpha, alpha))
    if kind == "mixup":
        return Mix("mixup", partners, share)
    height, width = size
    half_h = int(height * math.sqrt(1 - share)) // 2
    half_w = int(width * math.sqrt(1 - share)) // 2
    middle_y, middle_x = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(middle_y - half_h, 0), min(middle_y + half_h, height)
    left, right = max(middle_x - half_w, 0), min(middle_x + half_w, width)
    covered = (bottom - top) * (right - left) / (height * width)
    return Mix("cutmix", partners, 1 - covered, (top, left, bottom, right))
