"""Hard labels: the class of each image, and of the image it is mixed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Labeller
from ddbench.api.tensors import widen
from ddbench.api.types import Batch


@dataclass(frozen=True, slots=True)
class Hard:
    """Labels are the classes; no teacher is asked."""

    version: ClassVar[int] = 1
    asks: ClassVar[Literal["nobody", "once", "views"]] = "nobody"

    label_smoothing: float = 0.0
    """Part of each label that is spread evenly over all classes."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing <= 1:
            raise DDBenchError(f"label_smoothing is {self.label_smoothing}", "expected: 0 to 1")

    @property
    def stored(self) -> bool:
        return False

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """1/b Σ_i w_i CE( λ onehot(y_i) + (1 − λ) onehot(y'_i), softmax(s_i) )

        λ is the part of each mixed image that is its own, y' the class of its partner. The weight
        w_i is that of the image itself, not of its partner.

        Args:
            student: Logits s.
            batch: What was shown.
            teacher: Not read.
        """
        logits = widen(student)

        def entropies(labels: torch.Tensor) -> torch.Tensor:
            smooth = self.label_smoothing
            return torch.nn.functional.cross_entropy(
                logits, labels, reduction="none", label_smoothing=smooth
            )

        own = batch.share * entropies(batch.labels)
        each = own + (1 - batch.share) * entropies(batch.partner_labels)  # b
        return (batch.weights.to(each) * each).mean()


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"hard": Hard()}
