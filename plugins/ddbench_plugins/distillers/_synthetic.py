"""Images that are being optimised: where they start, and which of them are of which class."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int

from ddbench.api.distiller import DistillProblem
from ddbench.api.types import DatasetInfo

Start: TypeAlias = Literal["real", "noise"]
DSA = "color_crop_cutout_flip_scale_rotate"
"""The operations of differentiable siamese augmentation; flips are left out where digits are."""


def count_equally(info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
    """As many images for each class."""
    return (ipc or 1,) * info.num_classes


def group_rows(
    problem: DistillProblem, indices: Int[torch.Tensor, " b"]
) -> dict[int, Int[torch.Tensor, " m"]]:
    """Where in a group the images of each class are, classes in order."""
    labels = problem.labels[indices.to(problem.labels.device)].cpu()
    return {cls: (labels == cls).nonzero().flatten() for cls in labels.unique().tolist()}


def start_images(
    problem: DistillProblem, classes: dict[int, Int[torch.Tensor, " m"]], init: Start
) -> Float[torch.Tensor, "b c h w"]:
    """Normalised images to begin with: different training images of the class, or N(0, 1).

    Where a class has too few, they come again.
    """
    count = sum(len(rows) for rows in classes.values())
    images = torch.empty(count, *problem.info.shape, device=problem.device)
    for cls, rows in classes.items():
        rng = problem.rng("start", cls)
        if init == "real":
            real = problem.real_batch(cls, len(rows), rng)
            images[rows] = real[torch.arange(len(rows), device=real.device) % len(real)]
        else:
            noise = torch.randn(len(rows), *problem.info.shape, generator=rng)
            images[rows] = noise.to(problem.device)
    return images
