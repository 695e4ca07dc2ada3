"""A base for regularizers of a batch's moments: averaged over iterations, layers left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, ClassVar, TypeAlias

import torch
from annotated_types import Interval
from jaxtyping import Float

from ddbench.api.options import Options
from ddbench.api.roles import Regularizer
from ddbench.api.types import Network, Step, Tap, Tensors
from ddbench_plugins.regularizers._moments import Norm, mix_moments, stack_moments, sum_layer_gaps

Drop: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
"""Probability that a layer is left out of a step."""


class MovingAverage(Options):
    """Average of a batch's statistics over iterations; its gradient is that of the batch alone.

    References:
        Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and Statistical
        Matching (G-VBSM), CVPR 2024, arXiv:2311.17950, and its released code.
    """

    identity: ClassVar[str] = "ddbench_plugins.averages:MovingAverage"

    decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Share of what was before; 0 for the batch alone."""
    from_zero: bool = False
    """Start from 0, as the released codes of G-VBSM and EDC do by mistake, which makes early
    averages too small; instead of from the first batch."""

    def apply(
        self, current: Mapping[str, torch.Tensor], memory: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Returns ŝ + s − sg(s): the value of the average ŝ, the gradient of the statistic s."""
        if not self.decay:
            return dict(current)
        averages = self.advance(current, memory)
        return {name: averages[name] + value - value.detach() for name, value in current.items()}

    def advance(
        self, current: Mapping[str, torch.Tensor], memory: Mapping[str, torch.Tensor]
    ) -> Tensors:
        """Returns ŝ ← α ŝ + (1 − α) s for the next iteration; nothing without an average."""
        if not self.decay:
            return {}
        return {name: self._next(v.detach(), memory.get(name)) for name, v in current.items()}

    def _next(self, value: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
        if before is None:
            before = torch.zeros_like(value) if self.from_zero else value
        return self.decay * before + (1 - self.decay) * value


class MomentRegularizer(Regularizer):
    """Distance of mean and variance of a batch, all images together, to those of real images."""

    norm: Norm = "l2"
    """"l2" (not squared) as in the released codes, or "squared"."""
    weighted: bool = False
    """Count images with their weights, or else equally."""
    first_layer: float = 10.0
    """Multiplies the first layer's part."""
    average: MovingAverage = field(default=MovingAverage(), metadata={"added": True})

    def remember(self, step: Step) -> Tensors:
        """Returns the moving averages of the batch's moments, if there are any."""
        if not self.average.decay:
            return {}
        current: Tensors = {}
        for prefix, taps in self._list_taps(step.network).items():
            current |= self._pool_batch(step, taps, prefix)[0]
        return self.average.advance(current, step.memory)

    def _list_taps(self, network: Network) -> dict[str, tuple[Tap, ...]]:
        """Returns the taps of which averages are kept, by the prefix of these in `step.memory`."""
        return {"": self.taps(network)}

    def _measure_gap(
        self,
        step: Step,
        taps: Sequence[Tap],
        real: Mapping[str, Float[torch.Tensor, "1 c"]],
        kept: Float[torch.Tensor, " l"] | None = None,
        prefix: str = "",
    ) -> Float[torch.Tensor, ""]:
        """Returns Σ_l s_l a_l ( ‖μ_l − μ̂_l‖ + ‖σ²_l − σ̂²_l‖ ), s_1 = `first_layer`, s_l = 1.

        Args:
            step: Its images give μ and σ², or moving averages of these.
            taps: The layers l.
            real: `mean` and `var` to compare to, μ̂ and σ̂², the channels of all layers side by side.
            kept: a, for each layer; all 1 for None.
            prefix: Begins the names of the averages in `step.memory`.
        """
        moments, channels = self._pool_batch(step, taps, prefix)
        moments = self.average.apply(moments, step.memory)
        gaps = [moments[prefix + name] - real[name] for name in ("mean", "var")]
        if kept is not None:
            each = kept.repeat_interleave(torch.tensor(channels, device=kept.device))
            gaps = [gap * each for gap in gaps]
        mean, var = (sum_layer_gaps(gap, channels, self.norm, self.first_layer)[0] for gap in gaps)
        return mean + var

    def _pool_batch(
        self, step: Step, taps: Sequence[Tap], prefix: str
    ) -> tuple[dict[str, Float[torch.Tensor, "1 c"]], list[int]]:
        """Returns `mean` and biased `var` over all images and positions, the channels of all layers
        side by side; and how many channels each layer has."""
        mean, square, channels = stack_moments(step.acts, taps)
        mean, var = mix_moments(self._share_batch(step, mean), mean, square)
        return {f"{prefix}mean": mean, f"{prefix}var": var}, channels

    def _share_batch(self, step: Step, like: torch.Tensor) -> Float[torch.Tensor, "1 b"]:
        """Returns the share of each image in its batch; they sum to 1."""
        weights = step.weights.to(like) if self.weighted else like.new_ones(len(step.labels))
        return (weights / weights.sum())[None]


def draw_kept_layers(
    step: Step, count: int, drop: float, salt: int, like: torch.Tensor
) -> Float[torch.Tensor, " l"] | None:
    """Draws 1 for layers that count in this step, 0 for the others; None where all do.

    Args:
        step: Its seed draws.
        count: Number of layers.
        drop: Probability that a layer is left out.
        salt: Tells the draws of one part from those of another.
        like: Device and kind of number.
    """
    if not drop:
        return None
    rng = torch.Generator().manual_seed(step.seed ^ salt)
    return (torch.rand(count, generator=rng) >= drop).to(like)
