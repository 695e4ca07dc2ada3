"""BatchNorm regularization towards the categories of the images of a batch, as in EDC."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.moments import ChannelMoments, moment_taps
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Activations, DatasetInfo, Network, Step, Tap, Tensors
from ddbench_plugins.regularizers._moments import add_images, select_moments, start_sums
from ddbench_plugins.regularizers._moving_average import MomentRegularizer


class ImageMoments(Statistic):
    """Mean and variance of every BatchNorm input within single images, averaged over a class.

    m_k = E_i[m_i],  v_k = E_i[q_i − m_i²],  i over the images of class k; m_i and q_i are the mean
    and mean square of a channel over the positions of image i.

    By the law of total variance v_k lacks the variance between images that `ClassMoments` has.

    Gives, per layer l, `l.mean` and `l.var`, [k c], and `count`, [k]. A class without images has
    moments that are not numbers.
    """

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "image_moments")

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        return start_sums(self.taps(network), info.num_classes)

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
        def spread(mean: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
            return (square - mean.square()).clamp_min(0)

        return add_images(state, acts, ChannelMoments(), labels, spread)

    def finish(self, state: Tensors) -> Tensors:
        count = state["count"]
        sums = {name: tensor for name, tensor in state.items() if name != "count"}
        means = {name: (tensor / count[:, None]).float() for name, tensor in sums.items()}
        return {**means, "count": count}


class CategoryBatchNorm(MomentRegularizer):
    """Distance of the BatchNorm inputs of a batch to the mean of those of its images' classes."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (ImageMoments(),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "category_batch_norm")

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns Σ_l s_l ( ‖μ_l − Σ_i a_i m_l(y_i)‖ + ‖σ²_l − Σ_i a_i v_l(y_i)‖ ).

        μ and σ² are the mean and biased variance of a channel over the positions and images of the
        batch; m(y) and v(y) are those within real images of class y, averaged; a_i = 1/b.

        Args:
            step: `known[ImageMoments()]` holds `<l>.mean` and `<l>.var`, [k c].

        Returns:
            At least 0. The mean's part is in units of activations, the variance's in their square.

        Differences:
            The released code takes the real images under random crops and flips. Its moving
            average of μ and σ² starts at 0.
            The release can also compare to a fresh batch of real images of the same labels, and to
            nothing else (`--category-aware local`); that is not here.
            As released, the pooled σ² meets a mean of variances within images, which lacks the
            variance between them.

        References:
            Shao et al., Elucidating the Design Space of Dataset Condensation (EDC), NeurIPS 2024,
            arXiv:2404.13733, and its released code.
        """
        taps, known = self.taps(step.network), step.known[ImageMoments()]
        shares = self._share_batch(step, step.acts.taps[taps[0]]["mean"])
        real = {
            name: shares @ select_moments(known, taps, name, step.labels).to(shares)
            for name in ("mean", "var")
        }
        return self._measure_gap(step, taps, real)


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"category_batch_norm": CategoryBatchNorm()}
