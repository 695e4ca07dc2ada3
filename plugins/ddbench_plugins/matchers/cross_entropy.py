"""Draws every image to what the teacher takes for its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Matcher
from ddbench.api.tensors import widen
from ddbench.api.types import Step


class CrossEntropy(Matcher):
    """The teacher's classification loss on the synthetic images."""

    reduction: Literal["mean", "sum"] = "mean"
    """Over the images of a batch."""

    @property
    def separable(self) -> bool:
        return self.reduction == "sum"

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns L = mean_j (−log softmax(z(x_j))_{y_j}), or the sum.

        References:
            Yin et al., Squeeze, Recover and Relabel, NeurIPS 2023, Eq. 6.
        """
        return torch.nn.functional.cross_entropy(
            widen(step.acts.logits), step.labels, reduction=self.reduction
        )


@hookimpl
def ddbench_matchers() -> Mapping[str, Matcher]:
    return {"cross_entropy": CrossEntropy()}
