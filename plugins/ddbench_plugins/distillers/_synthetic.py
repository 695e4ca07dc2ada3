"""A base for distillers that optimise images through fresh networks; where these images start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.dsa import parse_strategy
from ddbench_plugins.distillers._per_class import split_by_class

Start: TypeAlias = Literal["real", "noise"]
Classes: TypeAlias = 'Mapping[int, Int[torch.Tensor, " _"]]'
"""Where the images of each class are."""
DSA = "color_crop_cutout_flip_scale_rotate"
"""The operations of differentiable siamese augmentation; flips are left out where digits are."""


class SyntheticImages(Distiller, kw_only=True):
    """Optimises the images of all classes together by what fresh networks make of them."""

    needs = frozenset({"networks"})
    exact = True

    iterations: Annotated[int, Ge(1)] = 1000
    augment: str = DSA
    """Operations joined by `_`, of which one is drawn for each batch; "" for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_strategy(self.augment)

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """Returns one group: networks learn from all classes."""
        return [torch.arange(len(labels))]

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return self.iterations


def group_rows(
    problem: DistillProblem, indices: Int[torch.Tensor, " b"]
) -> dict[int, Int[torch.Tensor, " _"]]:
    """Returns where in a group the images of each class are, classes in order."""
    return split_by_class(problem.labels[indices.to(problem.labels.device)].cpu())


def start_images(
    problem: DistillProblem, classes: Classes, init: Start
) -> Float[torch.Tensor, "b c h w"]:
    """Returns normalised images to begin with: training images of the class, or N(0, 1).

    Training images are different ones; where a class has too few, they come again.
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
