"""FKD: the teacher labels every augmented, mixed view that the student sees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Labeller
from ddbench.api.types import Batch
from ddbench_plugins.labellers._divergence import Temperature, soften, weighted_kl


class FKD(Labeller):
    """A soft label for each view of each epoch, as SRe2L and WMDD have it."""

    asks = "views"

    temperature: Temperature = 20.0
    """Divides the logits of teacher and student."""
    store: bool = False
    """Write all labels ahead of training, instead of asking the teacher while training."""
    square_temperature: bool = False
    """Multiply the loss by T², which makes its gradient nearly independent of T."""

    @property
    def stored(self) -> bool:
        return self.store

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i w_i KL( softmax(t_i / T) ‖ softmax(s_i / T) ), times T² if asked for.

        The teacher sees the mixed view itself, so that how it was mixed does not matter. The
        weight w_i is that of the image itself, not of its partner.

        Args:
            student: Logits s.
            batch: What was shown.
            teacher: Logits of the same views, [b k].

        References:
            Shen and Xing, A Fast Knowledge Distillation Framework for Visual Recognition, ECCV
            2022; Liu et al., Dataset Distillation via the Wasserstein Metric, ICCV 2025 (weights).
        """
        assert teacher is not None, "a labeller that asks about views is handed the answers"
        target = soften(teacher, self.temperature)
        loss = weighted_kl(student, target, batch.weights, self.temperature)
        return self.temperature**2 * loss if self.square_temperature else loss


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"fkd": FKD()}
