"""Hard labels: the class of each image, and of the image it is mixed with."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Labeller
from ddbench.api.tensors import widen
from ddbench.api.types import Batch


class Hard(Labeller):
    """Labels are the classes; no teacher is asked."""

    label_smoothing: Annotated[float, Interval(ge=0, le=1)] = 0.0
    """Part of each label that is spread evenly over all classes."""

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i w_i CE( λ onehot(y_i) + (1 − λ) onehot(y'_i), softmax(s_i) ).

        λ is the part of each mixed image that is its own, y' the class of its partner. The weight
        w_i is that of the image itself, not of its partner.

        Args:
            student: Logits s.
            batch: What was shown.
            teacher: Not read.
        """
        entropies = functools.partial(
            torch.nn.functional.cross_entropy,
            widen(student),
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        own = batch.share * entropies(batch.labels)
        each = own + (1 - batch.share) * entropies(batch.partner_labels)  # b
        return (batch.weights.to(each) * each).mean()


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"hard": Hard()}
