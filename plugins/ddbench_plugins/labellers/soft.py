"""Soft labels: what the teacher says about each plain image, asked once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Labeller
from ddbench.api.types import Batch
from ddbench_plugins.labellers._divergence import Temperature, soften, weighted_kl


class Soft(Labeller):
    """One soft label an image, mixed as the images are."""

    asks = "once"

    temperature: Temperature = 20.0
    """Divides the logits of teacher and student; the loss has no factor T²."""

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i w_i KL( λ p_i + (1 − λ) p'_i ‖ softmax(s_i / T) ), p = softmax(t / T).

        λ is the part of each mixed image that is its own, t' what the teacher says about its
        partner. The weight w_i is that of the image itself, not of its partner.

        Args:
            student: Logits s.
            batch: What was shown.
            teacher: Logits of every plain image, [n k].

        References:
            Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
        """
        assert teacher is not None, "a labeller that asks once is handed the answers"
        own = soften(teacher[batch.indices], self.temperature)
        partner = soften(teacher[batch.partner_indices], self.temperature)
        target = batch.share * own + (1 - batch.share) * partner
        return weighted_kl(student, target, batch.weights, self.temperature)


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"soft": Soft()}
