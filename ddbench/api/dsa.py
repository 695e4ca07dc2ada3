"""Differentiable augmentations, drawn as values first: one transform for two batches, if wanted.

A draw is an operation and its uniform numbers. With one row of numbers the whole batch is treated
alike, and so is any other batch of any size to which the same draw is applied; with a row an image,
every image has parameters of its own. Images are normalised: what comes in from outside is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int

from ddbench.api.errors import DDBenchError, find_nearest
from ddbench.api.tensors import send_to

_CROP = 0.125
"""Largest shift, as a part of the side."""
_CUTOUT = 0.5
"""Side of the hole, as a part of the side."""
_SCALE = 1.2
_DEGREES = 15.0
_NUMBERS = 3
"""Uniform numbers of a draw; no operation uses more."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One operation with its parameters.

    References:
        Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021.
    """

    operation: str
    """One of `OPERATIONS`, or "" for none."""
    numbers: Float[torch.Tensor, "s 3"]
    """Uniform in [0, 1): a row an image, or one row for all."""

    def apply(self, images: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """Transforms images of any number; differentiable in them."""
        if not self.operation:
            return images
        numbers = self.numbers.to(images.dtype)
        if self.operation == "crop" and len(numbers) == 1:  # a shift is a number of the host's
            return _shift(images, *(int(each) for each in _find_shifts(images, numbers)))
        return OPERATIONS[self.operation](images, send_to(numbers, images.device))


def parse_strategy(strategy: str, mirror: bool = True) -> tuple[str, ...]:
    """Lists the operations of a strategy such as `color_crop_flip`; none of "".

    Args:
        strategy: Names joined by `_`.
        mirror: Whether mirrored images are still of their class; else "flip" is left out.

    Raises:
        DDBenchError: there is no such operation.
    """
    names = tuple(name for name in strategy.split("_") if name)
    for name in names:
        if name not in OPERATIONS:
            guess = find_nearest(name, OPERATIONS)
            raise DDBenchError(
                f"no operation '{name}' in '{strategy}'",
                f"known: {', '.join(OPERATIONS)}",
                hint=f"did you mean '{guess}'?" if guess else "join known ones by _",
            )
    return names if mirror else tuple(name for name in names if name != "flip")


def draw(names: tuple[str, ...], count: int, rng: torch.Generator) -> Drawn:
    """Draws one of the operations, each as likely, with `count` rows of parameters (1: shared).

    Differences:
        Zhao and Bilen take their seed from the clock; here a draw is a function of `rng`.
    """
    chosen = int(torch.randint(max(len(names), 1), (), generator=rng))
    numbers = torch.rand(count, _NUMBERS, generator=rng)
    return Drawn(names[chosen] if names else "", numbers)


# -- the operations: of images, [b c h w], and uniform numbers u, [s 3] ----------------------------


def _color(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Changes brightness, saturation and contrast, in this order; at u = 1/2 nothing."""
    bright, gray, flat = (u[:, i].view(-1, 1, 1, 1) for i in range(3))
    images = images + (bright - 0.5)
    mean = images.mean(1, keepdim=True)
    images = (images - mean) * (2 * gray) + mean
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (flat + 0.5) + mean


def _crop(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Shifts by whole pixels along both axes, an eighth of the side at most."""
    height, width = images.shape[2:]
    down, right = _find_shifts(images, u)
    y = torch.arange(height, device=u.device) + down[:, None]  # b h
    x = torch.arange(width, device=u.device) + right[:, None]
    seen = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    rows = torch.arange(len(images), device=u.device)[:, None, None]
    y, x = y.clamp(0, height - 1)[:, :, None], x.clamp(0, width - 1)[:, None, :]
    moved = images.permute(0, 2, 3, 1)[rows, y, x]  # b h w c
    return (moved * seen[..., None]).permute(0, 3, 1, 2)


def _find_shifts(
    images: torch.Tensor, u: torch.Tensor
) -> tuple[Int[torch.Tensor, " s"], Int[torch.Tensor, " s"]]:
    """Returns how far to shift down and to the right, in pixels."""
    down, right = (_round_share(_CROP, extent) for extent in images.shape[2:])
    return _to_whole(u[:, 0], 2 * down + 1) - down, _to_whole(u[:, 1], 2 * right + 1) - right


def _shift(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Moves the pixel at (i + down, j + right) to (i, j); what comes in is 0."""
    return torch.nn.functional.pad(images, (-right, right, -down, down))  # a negative pad cuts


def _cutout(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Sets a square of half the side to 0, its centre anywhere."""
    height, width = images.shape[2:]
    y = _cover_hole(u[:, 0], _round_share(_CUTOUT, height), height)
    x = _cover_hole(u[:, 1], _round_share(_CUTOUT, width), width)
    return images.masked_fill((y[:, :, None] & x[:, None, :])[:, None], 0)


def _cover_hole(u: Float[torch.Tensor, " s"], size: int, extent: int) -> torch.Tensor:
    """Tells which places of an axis a hole covers, [s extent]; it may reach over the border."""
    start = _to_whole(u, extent + 1 - size % 2) - size // 2
    places = torch.arange(extent, device=u.device)
    return (places >= start[:, None]) & (places < start[:, None] + size)


def _flip(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return torch.where((u[:, 0] < 0.5).view(-1, 1, 1, 1), images.flip(3), images)


def _scale(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Shrinks or stretches each axis by up to a fifth about the centre."""
    factors = u[:, :2] * (_SCALE - 1 / _SCALE) + 1 / _SCALE
    return _affine(images, torch.diag_embed(factors))


def _rotate(images: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    angles = (u[:, 0] - 0.5) * 2 * math.radians(_DEGREES)
    sin, cos = angles.sin(), angles.cos()
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    return _affine(images, matrix)


def _affine(images: torch.Tensor, matrix: Float[torch.Tensor, "s 2 2"]) -> torch.Tensor:
    """Moves the pixel at `matrix` times each place there: centred, bilinear, 0 outside."""
    theta = torch.nn.functional.pad(matrix, (0, 1)).expand(len(images), 2, 3)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _round_share(share: float, extent: int) -> int:
    return int(share * extent + 0.5)


def _to_whole(u: Float[torch.Tensor, " s"], choices: int) -> Int[torch.Tensor, " s"]:
    """Turns uniform numbers into whole ones from 0 to choices - 1, each as likely."""
    return (u * choices).long().clamp(max=choices - 1)


OPERATIONS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
