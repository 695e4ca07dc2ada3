"""Learned labels: those that the distiller optimised together with the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Labeller
from ddbench.api.soft_labels import soft_cross_entropy
from ddbench.api.types import Batch


class Learned(Labeller):
    """One label an image, as its distiller returned it; no teacher is asked."""

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns the cross-entropy with the learned labels, mixed and weighted as the images are.

        Args:
            student: Logits.
            batch: What was shown, with the labels of all images.
            teacher: Not read.

        Raises:
            DDBenchError: the images came without learned labels.

        References:
            Guo et al., Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory
            Matching (DATM), ICLR 2024, arXiv:2310.05773.
        """
        if batch.learned is None:
            raise DDBenchError(
                "the images came without learned labels",
                hint="name other labels, such as --labels hard",
            )
        return soft_cross_entropy(student, batch, batch.learned)


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"learned": Learned()}
