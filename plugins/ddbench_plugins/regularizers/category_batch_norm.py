"""BatchNorm regularization towards the categories of the images of a batch, as in EDC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench import hookimpl
from ddbench.reductions import ChannelMoments, moment_taps
from ddbench.roles import Regularizer, Statistic
from ddbench.types import Activations, DatasetInfo, Network, Step, Tap, Tensors
from ddbench_plugins.summaries import layer_gaps, mixture_moments, stacked_moments


@dataclass(frozen=True, slots=True)
class ImageMoments:
    """Mean and variance of every BatchNorm input within single images, averaged over a class.

    m_k = E_i[m_i],  v_k = E_i[q_i − m_i²],  i over the images of class k; m_i and q_i are the mean
    and mean square of a channel over the positions of image i.

    By the law of total variance v_k lacks the variance between images that `ClassMoments` has.

    Gives, per layer l, `l.mean` and `l.var`, [k c], and `count`, [k]. A class without images has
    moments that are not numbers.
    """

    version: ClassVar[int] = 1

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "image_moments")

    def start(self, network: Network, info: DatasetInfo) -> Tensors:
        modules = dict(network.module.named_modules())
        sums = {
            f"{tap.layer}.{name}": torch.zeros(
                info.num_classes, modules[tap.layer].num_features, dtype=torch.float64
            )
            for tap in self.taps(network)
            for name in ("mean", "var")
        }
        return {**sums, "count": torch.zeros(info.num_classes, dtype=torch.long)}

    def update(self, state: Tensors, acts: Activations, labels: Int[Tensor, " b"]) -> Tensors:
        member = torch.nn.functional.one_hot(labels.cpu(), len(state["count"])).T  # k b
        after = {"count": state["count"] + member.sum(1)}
        for name in (name for name in state if name.endswith(".mean")):
            layer = name.removesuffix(".mean")
            found = acts.taps[Tap(layer, ChannelMoments())]
            mean, square = (found[part].cpu().double() for part in ("mean", "square"))  # b c
            spread = (square - mean.square()).clamp_min(0)
            after[name] = state[name] + member.double() @ mean
            after[f"{layer}.var"] = state[f"{layer}.var"] + member.double() @ spread
        return after

    def finish(self, state: Tensors) -> Tensors:
        count = state["count"]
        found = {
            name: (sums / count[:, None]).float() for name, sums in state.items() if name != "count"
        }
        return {**found, "count": count}


@dataclass(frozen=True, slots=True)
class CategoryBatchNorm:
    """Distance of the BatchNorm inputs of a batch to the mean of those of its images' classes."""

    version: ClassVar[int] = 1

    norm: Literal["squared", "l2"] = "l2"
    """"l2" (not squared) as in the released code of EDC, or "squared"."""
    weighted: bool = False
    """Count images with their weights, or else equally."""
    first_layer: float = 10.0
    """Multiplies the first BatchNorm's part."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (ImageMoments(),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "category_batch_norm")

    def penalty(self, step: Step) -> Float[Tensor, ""]:
        """Σ_l s_l ( ‖μ_l − Σ_i a_i m_l(y_i)‖ + ‖σ²_l − Σ_i a_i v_l(y_i)‖ )

        μ and σ² are the mean and biased variance of a channel over the positions and images of the
        batch; m(y) and v(y) are those within real images of class y, averaged; a_i = 1/b.

        Args:
            step: `known[ImageMoments()]` holds `<l>.mean` and `<l>.var`, [k c].

        Returns:
            At least 0. The mean's part is in units of activations, the variance's in their square.

        Differences:
            The released code compares a moving average of μ and σ² over iterations, except in its
            settings for ten classes of ImageNet, which have none, as here. It also compares the
            inputs of convolutions, and takes the real images under random crops and flips.
            As released, the pooled σ² meets a mean of variances within images, which lacks the
            variance between them.

        References:
            Shao et al., Elucidating the Design Space of Dataset Condensation (EDC), NeurIPS 2024,
            arXiv:2404.13733, and its released code.
        """
        taps = self.taps(step.network)
        mean, square, channels = stacked_moments(step.acts, taps)
        known = {name: value.to(mean) for name, value in step.known[ImageMoments()].items()}
        weights = step.weights.to(mean) if self.weighted else mean.new_ones(len(mean))
        shares = (weights / weights.sum())[None]  # 1 b
        real_mean = torch.cat([known[f"{tap.layer}.mean"] for tap in taps], 1)  # k c
        real_var = torch.cat([known[f"{tap.layer}.var"] for tap in taps], 1)
        found_mean, found_var = mixture_moments(shares, mean, square)  # 1 c
        return sum(
            layer_gaps(gap, channels, self.norm, self.first_layer)[0]
            for gap in (
                found_mean - shares @ real_mean[step.labels],
                found_var - shares @ real_var[step.labels],
            )
        )


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"category_batch_norm": CategoryBatchNorm()}
