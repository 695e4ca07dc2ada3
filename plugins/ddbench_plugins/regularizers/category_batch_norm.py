"""BatchNorm regularization towards the categories of the images of a batch, as in EDC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.moments import ChannelMoments, moment_taps
from ddbench.api.roles import Regularizer, Statistic
from ddbench.api.types import Activations, DatasetInfo, Network, Step, Tap, Tensors
from ddbench_plugins.regularizers._moments import select_moments
from ddbench_plugins.regularizers._moving_average import (
    MovingAverage,
    measure_gap,
    pool_batch,
    share_batch,
)


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

    def update(self, state: Tensors, acts: Activations, labels: Int[torch.Tensor, " b"]) -> Tensors:
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
    average: MovingAverage = field(default=MovingAverage(), metadata={"added": True})

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (ImageMoments(),)

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return moment_taps(network, "category_batch_norm")

    def penalty(self, step: Step) -> Float[torch.Tensor, ""]:
        """Σ_l s_l ( ‖μ_l − Σ_i a_i m_l(y_i)‖ + ‖σ²_l − Σ_i a_i v_l(y_i)‖ )

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
        found, channels = pool_batch(step, taps, self.weighted)
        shares = share_batch(step, self.weighted, found["mean"])
        real = {
            name: shares @ select_moments(known, taps, name, step.labels).to(shares)
            for name in found
        }
        found = self.average.apply(found, step.memory)
        return measure_gap(found, real, channels, self.norm, self.first_layer)

    def remember(self, step: Step) -> Tensors:
        """The moving average of the batch's statistics, if there is one."""
        if not self.average.decay:
            return {}
        found, _ = pool_batch(step, self.taps(step.network), self.weighted)
        return self.average.advance(found, step.memory)


@hookimpl
def ddbench_regularizers() -> Mapping[str, Regularizer]:
    return {"category_batch_norm": CategoryBatchNorm()}
