"""Squared error of logits plus hard labels, as students are trained in G-VBSM and EDC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.roles import Labeller
from ddbench.api.tensors import widen
from ddbench.api.types import Batch


class MseGt(Labeller):
    """The teachers' logits of each view of each epoch, and the class of the image itself."""

    asks = "views"

    hard_weight: Annotated[float, Ge(0)] = 0.1
    """γ: weight of the cross-entropy with the class."""
    equal_norms: bool = False
    """Bring the logits of the teachers of an ensemble to one norm before they are averaged."""
    store: bool = False
    """Write all labels ahead of training, instead of asking the teacher while training."""

    @property
    def stored(self) -> bool:
        return self.store

    def combined(self, answers: Float[torch.Tensor, "e b k"]) -> Float[torch.Tensor, "b k"]:
        """Returns 1/e Σ_j t_j, or 1/e Σ_j t_j n̄ / n_j: n_j = ‖t_j‖_F of the batch, n̄ their mean."""
        if self.equal_norms:
            norms = answers.flatten(1).norm(dim=1)[:, None, None]
            answers = answers * (norms.mean() / norms.clamp_min(1e-12))
        return answers.mean(0)

    def loss(
        self,
        student: Float[torch.Tensor, "b k"],
        batch: Batch,
        teacher: Float[torch.Tensor, "_ k"] | None,
    ) -> Float[torch.Tensor, ""]:
        """Returns 1/b Σ_i w_i [ 1/k ‖s_i − t_i‖² + γ CE( y_i, softmax(s_i) ) ].

        y_i is the class of the image itself, however it is mixed; so is its weight w_i.

        Args:
            student: Logits s.
            batch: What was shown.
            teacher: Logits of the same views, [b k]; of an ensemble, combined.

        References:
            Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and
            Statistical Matching (G-VBSM), CVPR 2024, arXiv:2311.17950, released code.
        """
        assert teacher is not None, "a labeller that asks about views is handed the answers"
        logits = widen(student)
        squared = (logits - widen(teacher)).square().mean(1)  # b
        each = squared + self.hard_weight * torch.nn.functional.cross_entropy(
            logits, batch.labels, reduction="none"
        )
        return (batch.weights.to(each) * each).mean()


@hookimpl
def ddbench_labellers() -> Mapping[str, Labeller]:
    return {"mse_gt": MseGt()}
