"""Several small pictures in one image, as tiles: put in, and shown again at full size."""

from __future__ import annotations

import torch
from jaxtyping import Float

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo


def check_divisible(info: DatasetInfo, factor: int) -> None:
    """Checks that images can be divided into `factor` x `factor` tiles of equal size.

    Raises:
        DDBenchError: they cannot.
    """
    _, height, width = info.shape
    if height % factor or width % factor:
        raise DDBenchError(
            f"factor {factor} does not divide images of {height} x {width} pixels",
            f"{info.name} is read at that size",
            hint="--set recover.factor=1, or another resolution",
        )


def tile(patches: Float[torch.Tensor, "p c s t"], factor: int) -> Float[torch.Tensor, "m c h w"]:
    """Returns m = p / factor² images: patch k m + j is tile k of image j, counted row by row."""
    grid = patches.unflatten(0, (factor, factor, -1))  # row column m c s t
    return grid.permute(2, 3, 0, 4, 1, 5).flatten(4, 5).flatten(2, 3).contiguous()


def cut_tiles(
    images: Float[torch.Tensor, "m c h w"], factor: int
) -> Float[torch.Tensor, "p c s t"]:
    """Returns the patches that `tile` was given: partition."""
    grid = images.unflatten(2, (factor, -1)).unflatten(4, (factor, -1))  # m c row s column t
    return grid.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)


def expand_tiles(
    images: Float[torch.Tensor, "m c h w"], factor: int
) -> Float[torch.Tensor, "p c h w"]:
    """Returns the tiles of all images, each enlarged to an image: partition and expansion.

    Image k m + j of the result is tile k of image j. Bilinear, differentiable; the images
    themselves for a factor of 1.

    References:
        [1] Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization, ICML
            2022: multi-formation.
        [2] Zhao et al., Improved Distribution Matching for Dataset Condensation, CVPR 2023.
    """
    if factor == 1:
        return images
    size = images.shape[2:]
    return torch.nn.functional.interpolate(
        cut_tiles(images, factor), size, mode="bilinear", align_corners=False
    )


def shrink_tiles(
    images: Float[torch.Tensor, "p c h w"], factor: int
) -> Float[torch.Tensor, "m c h w"]:
    """Returns p / factor² images whose tiles are the given ones, each pixel a mean of factor²."""
    return tile(torch.nn.functional.avg_pool2d(images, factor), factor)
