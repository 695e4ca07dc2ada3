"""Statistics of a batch as regularizers compare them: averaged over iterations, layers left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Step, Tap, Tensors
from ddbench_plugins.regularizers._moments import mix_moments, stack_moments, sum_layer_gaps


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """Of a batch's statistics over iterations; the gradient is that of the batch alone.

    References:
        Shao et al., Generalized Large-Scale Data Condensation via Various Backbone and Statistical
        Matching (G-VBSM), CVPR 2024, arXiv:2311.17950, and its released code.
    """

    identity: ClassVar[str] = "ddbench_plugins.averages:MovingAverage"

    decay: float = 0.0
    """Share of what was before; 0 for the batch alone."""
    from_zero: bool = False
    """Start from 0, as the released codes of G-VBSM and EDC do by mistake, which makes early
    averages too small; instead of from the first batch."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise DDBenchError(f"decay is {self.decay}", "expected: 0 to below 1")

    def apply(
        self, current: Mapping[str, torch.Tensor], memory: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """ŝ + s − sg(s): the value of the average ŝ, the gradient of the batch's statistic s."""
        if not self.decay:
            return dict(current)
        held = self.advance(current, memory)
        return {name: held[name] + value - value.detach() for name, value in current.items()}

    def advance(
        self, current: Mapping[str, torch.Tensor], memory: Mapping[str, torch.Tensor]
    ) -> Tensors:
        """ŝ ← α ŝ + (1 − α) s, for the next iteration; nothing without an average."""
        if not self.decay:
            return {}
        return {name: self._next(v.detach(), memory.get(name)) for name, v in current.items()}

    def _next(self, value: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
        if before is None:
            before = torch.zeros_like(value) if self.from_zero else value
        return self.decay * before + (1 - self.decay) * value


def share_batch(step: Step, weighted: bool, like: torch.Tensor) -> Float[torch.Tensor, "1 b"]:
    """What each image counts in its batch; the shares sum to 1."""
    weights = step.weights.to(like) if weighted else like.new_ones(len(step.labels))
    return (weights / weights.sum())[None]


def pool_batch(
    step: Step, taps: Sequence[Tap], weighted: bool
) -> tuple[dict[str, Float[torch.Tensor, "1 c"]], list[int]]:
    """`mean` and biased `var` of a batch over its images and positions, the channels of all tapped
    layers side by side; and how many channels each layer has."""
    mean, square, channels = stack_moments(step.acts, taps)
    found = mix_moments(share_batch(step, weighted, mean), mean, square)
    return {"mean": found[0], "var": found[1]}, channels


def measure_gap(
    found: Mapping[str, Float[torch.Tensor, "1 c"]],
    real: Mapping[str, Float[torch.Tensor, "1 c"]],
    channels: Sequence[int],
    norm: Literal["squared", "l2"],
    first_layer: float,
    kept: Float[torch.Tensor, " l"] | None = None,
) -> Float[torch.Tensor, ""]:
    """Σ_l s_l a_l ( ‖μ_l − μ̂_l‖ + ‖σ²_l − σ̂²_l‖ ), a_l = 1 unless `kept` says otherwise."""
    gaps = (found[name] - real[name] for name in ("mean", "var"))
    if kept is not None:
        each = kept.repeat_interleave(torch.tensor(channels, device=kept.device))
        gaps = (gap * each for gap in gaps)
    return sum(sum_layer_gaps(gap, channels, norm, first_layer)[0] for gap in gaps)


def draw_kept_layers(
    step: Step, count: int, drop: float, salt: int, like: torch.Tensor
) -> Float[torch.Tensor, " l"] | None:
    """1 for layers that count in this step, 0 for the others; None where all do.

    Args:
        step: Its seed draws.
        count: Of layers.
        drop: Probability that a layer is left out.
        salt: Tells the draws of one part from those of another.
        like: Device and kind of number.
    """
    if not drop:
        return None
    rng = torch.Generator().manual_seed(step.seed ^ salt)
    return (torch.rand(count, generator=rng) >= drop).to(like)


def check_share(name: str, value: float, below: bool = True) -> None:
    """Refuses what is no share of 1.

    Raises:
        DDBenchError: it is out of range.
    """
    if not 0 <= value <= 1 or (below and value == 1):
        expected = "0 to below 1" if below else "0 to 1"
        raise DDBenchError(f"{name} is {value}", f"expected: {expected}")
