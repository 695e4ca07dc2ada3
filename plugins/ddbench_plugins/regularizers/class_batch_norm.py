"""Per-class BatchNorm regularization (PCBN) of WMDD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.moments import moment_taps
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Network, Step, Tap
from ddbench_plugins.regularizers._moments import (
    ClassMoments,
    Norm,
    ReleasedClassMoments,
    mix_moments,
    select_moments,
    share_by_class,
    stack_moments,
    sum_layer_gaps,
)


class ClassBatchNorm(Regularizer):
    """Distance of the BatchNorm inputs of each class's images to those of its real images."""

    norm: Norm = "squared"
    """"squared" as in the paper's equations, "l2" (not squared) as in its released code."""
    weighted: bool = True
    """Count images with their weights within the class (Eq. 14), or else equally."""
    class_reduction: Literal["sum", "mean"] = "sum"
    """Over the classes of a batch: "sum" as in the equations, "mean" as in the released code."""
    first_layer: float = 1.0
    """Multiplies the first BatchNorm's part."""
    released_variance: bool = False
    """Compare to the mean variance within batches of 100 real images, as the released code does."""

    @property
    def separable(self) -> bool:
        return self.class_reduction == "sum"

    @property
    def moments(self) -> Statistic:
        """Statistic of the real images that is compared to."""
        return ReleasedClassMoments() if self.released_variance else ClassMoments()

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (self.moments,)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "class_batch_norm")

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns Σ_k Σ_l s_l ( ‖μ_kl − μ̂_kl‖² + ‖σ²_kl − σ̂²_kl‖² ).

        k are the classes of the batch, l the BatchNorms. μ and σ² are the mean and biased
        variance of a channel over the positions and images of the class, image j counted with
        w_kj / Σ_j w_kj; the variance is that around the weighted mean. μ̂ and σ̂² are of the real
        images of the class.

        Args:
            step: `known[self.moments]` holds `<l>.mean` and `<l>.var`, [k c]. Classes may come in
                any order and number, each with any number of images.

        Returns:
            At least 0. Grows with the number of classes in the batch unless `class_reduction` is
            "mean".

        Differences:
            The paper's equations are the default. Its released code takes norms without squares,
            averages over classes, ignores the weights, and averages the real variances of batches:
            `norm="l2"`, `class_reduction="mean"`, `weighted=False`, `released_variance=True`.

        References:
            Liu et al., Dataset Distillation via the Wasserstein Metric, ICCV 2025,
            arXiv:2311.18531, Eq. 13-14.
        """
        taps, known = self.taps(step.network), step.known[self.moments]
        mean, square, channels = stack_moments(step.acts, taps)
        weights = step.weights.to(mean) if self.weighted else mean.new_ones(len(mean))
        classes = len(known[f"{taps[0].layer}.mean"])
        rows, shares, counted = share_by_class(step.labels, weights, classes)
        own_mean, own_var = mix_moments(shares, mean, square)  # r c
        real_mean, real_var = (select_moments(known, taps, name, rows) for name in ("mean", "var"))
        gap = torch.cat([own_mean - real_mean, own_var - real_var])  # 2r c
        gap = torch.where(counted.repeat(2)[:, None] > 0, gap, 0)
        gaps = sum_layer_gaps(gap, channels, self.norm, self.first_layer).view(2, -1).sum(0)  # r
        total = counted @ gaps
        return total / counted.sum() if self.class_reduction == "mean" else total


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"class_batch_norm": ClassBatchNorm()}


@hookimpl
def ddbench_aliases() -> Mapping[str, str]:
    return {"regularizer:pcbn": "class_batch_norm"}
