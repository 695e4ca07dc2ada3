"""A teacher's backbone trained without labels, and then frozen below its classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.roles import Pretraining
from ddbench.api.types import Network, Tap
from ddbench.data.real import RealData
from ddbench.nn.probe import Probe
from ddbench.pipeline.stages.groups import Losses
from ddbench.pipeline.stages.problem import StageProblem
from ddbench.runtime.context import Context


@dataclass(slots=True, kw_only=True)
class UnlabelledProblem(StageProblem):
    """Real images without their classes; probes of the one network are closed after the stage."""

    scope: str = "pretraining"
    probes: list[Probe] = field(default_factory=list)

    def real_indices(self, cls: int) -> Int[Tensor, " n"]:
        raise DDBenchError("a pretraining asks for the images of a class", "it is given no labels")

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Probe:
        self.probes.append(Probe(network, taps, self.ctx))
        return self.probes[-1]


def pretrain(part: Pretraining, network: Network, data: RealData, seed: int, ctx: Context) -> None:
    """Trains a network in place, without labels.

    Raises:
        DivergedError: the loss is not finite.
    """
    updates = part.updates(len(data.train_labels))
    with ctx.progress.stage("squeeze: pretrain without labels", updates) as advance:
        losses = Losses(_diverged, advance)
        problem = UnlabelledProblem(
            info=data.info, device=ctx.device, seed=seed, data=data, on_tick=losses, ctx=ctx
        )
        network.module.train()
        try:
            part.pretrain(problem, network)
            losses.last()
        finally:
            for probe in problem.probes:
                probe.close()


def _diverged(value: float, done: int) -> DivergedError:
    return DivergedError(
        f"squeeze: the loss of pretraining is not finite after {done} updates",
        hint="lower --set squeeze.pretraining.lr=...",
    )


class FrozenBackbone(nn.Module):
    """A network of which only the classifier learns; the rest stays in eval mode."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module = network.module.requires_grad_(False)
        self.classifier = network.module.get_submodule(network.classifier).requires_grad_(True)

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Train mode for the classifier alone: running statistics stay what they were."""
        self.module.eval()
        self.classifier.train(mode)
        return self

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.module(images)
