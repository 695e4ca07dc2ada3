"""Networks as flat vectors of weights: experts that leave a trail, students that can be derived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench.api.distiller import Preparation, Problem
from ddbench.api.dsa import draw, parse_strategy
from ddbench.api.errors import IncompatibleError
from ddbench.api.types import DatasetInfo, Network
from ddbench_plugins.distillers._synthetic import DSA


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a network as one flat vector."""

    network: Network

    def __post_init__(self) -> None:
        if self.network.norm_layers():
            raise IncompatibleError(
                "trajectories of weights leave out the running statistics of batch normalisation",
                hint="--teacher convnet3, which normalises each image by itself",
            )

    def flatten(self) -> Float[torch.Tensor, " p"]:
        """Returns the network's own weights as they are now."""
        return torch.cat([p.detach().flatten() for p in self.network.module.parameters()])

    def compute_logits(
        self, vector: Float[torch.Tensor, " p"], images: Float[torch.Tensor, "b c h w"]
    ) -> Float[torch.Tensor, "b k"]:
        """Returns the network's logits with other weights; differentiable in both."""
        named = list(self.network.module.named_parameters())
        parts = vector.split([p.numel() for _, p in named])
        put = {name: part.view_as(p) for (name, p), part in zip(named, parts, strict=True)}
        return torch.func.functional_call(self.network.module, put, (images,))


class ExpertTrails(Preparation, kw_only=True):
    """Weights of networks trained on real images, epoch by epoch.

    A piece is an expert's trail, [epochs + 1, weights] in float32. Experts are trained in the
    precision of the cell, as teachers are.

    References:
        Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022,
        Section 3.1.
    """

    identity: ClassVar[str] = "ddbench_plugins.trajectories:ExpertTrails"

    experts: Annotated[int, Ge(1)] = 100
    epochs: Annotated[int, Ge(1)] = 50
    lr: Annotated[float, Ge(0)] = 0.01
    batch_size: Annotated[int, Ge(1)] = 256
    augment: str = DSA
    """Operations of which each batch gets one; "" none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_strategy(self.augment)

    @property
    def pieces(self) -> int:
        return self.experts

    def updates(self, info: DatasetInfo) -> int:
        return self.epochs * -(-sum(info.train_counts) // self.batch_size)

    def piece(self, problem: Problem, number: int) -> Float[torch.Tensor, "t p"]:
        network = problem.fresh_network("expert", number)
        Weights(network)  # refuses a network before real images are read
        real = [problem.real(cls) for cls in range(problem.info.num_classes)]
        labels = [images.new_full((len(images),), cls).long() for cls, images in enumerate(real)]
        forward = problem.probe(network)
        trail = train_expert(
            network,
            lambda views: forward(views).logits,
            torch.cat(real),
            torch.cat(labels),
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            names=parse_strategy(self.augment, problem.info.mirror),
            rng=problem.rng("expert", number),
            tick=problem.tick,
        )
        return torch.stack(trail)


def train_expert(
    network: Network,
    forward: Callable[[Float[torch.Tensor, "b c h w"]], Float[torch.Tensor, "b k"]],
    images: Float[torch.Tensor, "n c h w"],
    labels: Int[torch.Tensor, " n"],
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    names: tuple[str, ...],
    rng: torch.Generator,
    tick: Callable[[Float[torch.Tensor, ""]], None] = lambda loss: None,
) -> list[Float[torch.Tensor, " p"]]:
    """Trains a network by plain SGD on real images.

    Args:
        network: Trained in place.
        forward: Gives its logits.
        images: Real images, normalised.
        labels: Their classes.
        epochs: Number of epochs.
        lr: Constant, without momentum or decay.
        batch_size: Images a step.
        names: Operations of which each batch gets one.
        rng: Draws order and augmentation.
        tick: Is called with the loss of every step.

    Returns:
        Flat weights before the first and after every epoch, on the CPU.
    """
    weights = Weights(network)
    sgd = torch.optim.SGD(network.module.parameters(), lr=lr)
    trail = [weights.flatten().cpu()]
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=rng).split(batch_size):
            there = rows.to(images.device)
            views = draw(names, len(rows), rng).apply(images[there])
            loss = torch.nn.functional.cross_entropy(forward(views), labels[there])
            sgd.zero_grad(set_to_none=True)
            loss.backward()
            sgd.step()
            tick(loss.detach())
        trail.append(weights.flatten().cpu())
    return trail


def walk(
    weights: Weights,
    start: Float[torch.Tensor, " p"],
    rate: Float[torch.Tensor, ""],
    batches: Sequence[tuple[Float[torch.Tensor, "_ c h w"], Int[torch.Tensor, " _"]]],
) -> Float[torch.Tensor, " p"]:
    """Returns weights after a step of gradient descent a batch; differentiable in images and rate.

    θ_{i+1} = θ_i − α ∇_θ CE(θ_i; b_i)
    """

    def loss(
        images: Float[torch.Tensor, "b c h w"],
        labels: Int[torch.Tensor, " b"],
        vector: Float[torch.Tensor, " p"],
    ) -> Float[torch.Tensor, ""]:
        return torch.nn.functional.cross_entropy(weights.compute_logits(vector, images), labels)

    return descend(start, rate, [partial(loss, *batch) for batch in batches])


def descend(
    start: Float[torch.Tensor, " p"],
    rate: Float[torch.Tensor, ""],
    losses: Sequence[Callable[[Float[torch.Tensor, " p"]], Float[torch.Tensor, ""]]],
) -> Float[torch.Tensor, " p"]:
    """Returns a point after a step of gradient descent a loss, θ_{i+1} = θ_i − α ∇ ℓ_i(θ_i).

    Differentiable in the rate and in whatever the losses hold, but not in the start.
    """
    vector = start.detach().requires_grad_(True)
    for loss in losses:
        (slope,) = torch.autograd.grad(loss(vector), [vector], create_graph=True)
        vector = vector - rate * slope
    return vector


def measure_way_left(
    end: Float[torch.Tensor, " p"],
    start: Float[torch.Tensor, " p"],
    target: Float[torch.Tensor, " p"],
) -> Float[torch.Tensor, ""]:
    """Returns ‖ θ̂ − θ* ‖² / ‖ θ_0 − θ* ‖²: 1 for a student that did not move, 0 at the goal."""
    return (end - target).square().sum() / (start - target).square().sum()
