"""A teacher's backbone trained without labels, and then frozen below its classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from ddbench.api.errors import DivergedError
from ddbench.api.pretraining import Pretraining
from ddbench.api.tensors import send_to
from ddbench.api.types import DatasetInfo, Network, Tap
from ddbench.data.real import RealData
from ddbench.nn.probe import Probe
from ddbench.pipeline.stages.groups import Losses
from ddbench.runtime.context import Context
from ddbench.runtime.seeds import make_generator
from ddbench.training.batches import pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a pretraining sees; see `ddbench.api.pretraining.PretrainingProblem`."""

    info: DatasetInfo
    device: str
    network: Network
    data: RealData
    seed: int
    ctx: Context
    on_tick: Callable[[Tensor], None]
    probes: list[Probe] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.data.train_labels)

    def images(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return pixels(send_to(self.data.train_images.index_select(0, rows), self.device), self.info)

    def rng(self, *names: object) -> Generator:
        return make_generator(self.seed, "pretraining", *names)

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Probe:
        self.probes.append(Probe(network, taps, self.ctx))
        return self.probes[-1]

    def tick(self, loss: Float[Tensor, ""]) -> None:
        self.on_tick(loss)


def pretrain(part: Pretraining, network: Network, data: RealData, seed: int, ctx: Context) -> None:
    """Trains a network in place, without labels.

    Raises:
        DivergedError: the loss is not finite.
    """
    updates, losses = part.updates(len(data.train_labels)), Losses(_diverged)
    with ctx.progress.stage("squeeze: pretrain without labels", updates) as advance:

        def tick(loss: Tensor) -> None:
            losses.tell(loss)
            advance(1)

        problem = Problem(
            info=data.info, device=ctx.device, network=network, data=data, seed=seed, ctx=ctx,
            on_tick=tick,
        )  # fmt: skip
        network.module.train()
        try:
            part.pretrain(problem)
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
