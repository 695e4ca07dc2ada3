"""A base for distillers that make the images of one class after the other, in one go."""

from __future__ import annotations

import torch
from jaxtyping import Int

from ddbench.api.distiller import Distiller, DistillProblem


class ClassByClass(Distiller):
    """Makes a group of images a class, with one tick a group."""

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """Returns a group a class."""
        return list(split_by_class(labels).values())

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return 1


def split_by_class(labels: Int[torch.Tensor, " n"]) -> dict[int, Int[torch.Tensor, " _"]]:
    """Returns where the labels of each class are, classes in order."""
    return {cls: (labels == cls).nonzero().flatten() for cls in labels.unique().tolist()}
