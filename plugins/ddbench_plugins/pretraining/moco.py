"""Momentum contrast (MoCo v2): pretraining without labels, at the scale of small teachers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, TypeAlias

import torch
from annotated_types import Ge, Gt, Interval
from jaxtyping import Float

from ddbench.api.augment import draw_boxes, draw_flips, resample
from ddbench.api.distiller import Problem
from ddbench.api.dsa import draw, parse_strategy
from ddbench.api.features import feature_tap
from ddbench.api.recipe import Areas
from ddbench.api.roles import Pretraining
from ddbench.api.types import Network

Look: TypeAlias = 'Callable[[Float[torch.Tensor, "b c h w"]], Float[torch.Tensor, "b d"]]'


class MomentumContrast(Pretraining, kw_only=True):
    """Tells two views of an image from the views of others, with a queue of earlier keys.

    Differences:
        One process: keys are not shuffled between devices. Views are crops, flips and changes of
        colour; there is no blur and no greyscale.

    References:
        He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020;
        Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020, arXiv:2003.04297.
    """

    identity: ClassVar[str] = "ddbench_plugins.momentum_contrast:MomentumContrast"

    epochs: Annotated[int, Ge(1)] = 200
    batch_size: Annotated[int, Ge(2)] = 256
    lr: Annotated[float, Ge(0)] = 0.03
    """Learning rate of SGD with momentum 0.9; half a cosine, by epoch, towards 0."""
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    queue: Annotated[int, Ge(1)] = 4096
    """Keys of earlier batches that each image is told from."""
    key_momentum: Annotated[float, Interval(ge=0, le=1)] = 0.99
    """Share of the key encoder's weights that an update keeps; MoCo has 0.999 for ImageNet."""
    temperature: Annotated[float, Gt(0)] = 0.2
    width: Annotated[int, Ge(1)] = 128
    """Width of the embedding in which views are compared."""
    crop: Areas = (0.2, 1.0)
    """Smallest and largest area of the random resized crop of a view."""
    colour: bool = True
    """Change brightness, saturation and contrast of each view."""

    def updates(self, count: int) -> int:
        return self.epochs * self._steps(count)

    def _steps(self, count: int) -> int:
        return max(1, math.ceil(count / self.batch_size))

    def pretrain(self, problem: Problem, network: Network) -> None:
        """Trains the network's backbone; its classifier is left as it is."""
        keys = Network(copy.deepcopy(network.module).requires_grad_(False), network.classifier)
        look, key_look = watch_features(problem, network), watch_features(problem, keys)
        head = make_projection(count_features(problem, network, look), self.width, problem)
        key_head = copy.deepcopy(head).requires_grad_(False)
        learnt = [*network.module.parameters(), *head.parameters()]
        followed = [*keys.module.parameters(), *key_head.parameters()]
        rng = problem.rng("queue")
        queue = torch.nn.functional.normalize(
            torch.randn(self.queue, self.width, generator=rng)
        ).to(problem.device)
        sgd = torch.optim.SGD(learnt, self.lr, momentum=0.9, weight_decay=self.weight_decay)
        count = sum(problem.info.train_counts)
        for epoch in range(self.epochs):
            sgd.param_groups[0]["lr"] = self.lr / 2 * (1 + math.cos(math.pi * epoch / self.epochs))
            order = torch.randperm(count, generator=problem.rng("order", epoch))
            for step, rows in enumerate(order.tensor_split(self._steps(count))):
                images, rng = problem.images(rows), problem.rng("views", epoch, step)
                views = [self.draw_view(images, problem, rng) for _ in range(2)]
                with torch.no_grad():
                    follow(followed, learnt, self.key_momentum)
                    known = torch.nn.functional.normalize(key_head(key_look(views[1])))
                query = torch.nn.functional.normalize(head(look(views[0])))
                loss = info_nce(query, known, queue, self.temperature)
                sgd.zero_grad(set_to_none=True)
                loss.backward()
                sgd.step()
                queue = torch.cat([known, queue])[: self.queue]
                problem.tick(loss.detach())

    def draw_view(
        self,
        images: Float[torch.Tensor, "b c h w"],
        problem: Problem,
        rng: torch.Generator,
    ) -> Float[torch.Tensor, "b c h w"]:
        """Draws a crop, flip and change of colour of its own for every image."""
        count, mirror = len(images), problem.info.mirror
        boxes = draw_boxes(count, problem.info.shape[1:], self.crop, (0.75, 4 / 3), rng)
        views = resample(images, boxes, draw_flips(count, mirror, rng))
        return draw(parse_strategy("color"), count, rng).apply(views) if self.colour else views


def watch_features(problem: Problem, network: Network) -> Look:
    """Returns a function from images to the input of the network's classifier."""
    tap = feature_tap(network)
    probe = problem.probe(network, [tap])
    return lambda images: probe(images).taps[tap]["features"]


def count_features(problem: Problem, network: Network, look: Look) -> int:
    """Counts the features; the look does not count in running statistics."""
    network.module.eval()
    with torch.no_grad():
        width = look(problem.images(torch.arange(1))).shape[1]
    network.module.train()
    return width


def make_projection(features: int, width: int, problem: Problem) -> torch.nn.Module:
    """Makes two layers on top of the features, drawn from the problem's own numbers."""
    layers = [
        torch.nn.utils.skip_init(torch.nn.Linear, features, features),
        torch.nn.utils.skip_init(torch.nn.Linear, features, width),
    ]
    for number, layer in enumerate(layers):
        bound, rng = layer.in_features**-0.5, problem.rng("projection", number)
        for tensor in (layer.weight.data, layer.bias.data):
            tensor.copy_(bound * (2 * torch.rand(tensor.shape, generator=rng) - 1))
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1]).to(problem.device)


def follow(
    followers: Sequence[torch.Tensor], leaders: Sequence[torch.Tensor], momentum: float
) -> None:
    """Moves followers towards their leaders in place: θ' ← m θ' + (1 − m) θ."""
    for follower, leader in zip(followers, leaders, strict=True):
        follower.lerp_(leader.detach(), 1 - momentum)


def info_nce(
    query: Float[torch.Tensor, "b e"],
    key: Float[torch.Tensor, "b e"],
    queue: Float[torch.Tensor, "n e"],
    temperature: float,
) -> Float[torch.Tensor, ""]:
    """Returns −1/b Σ_i log( exp(q_i·k_i / T) / ( exp(q_i·k_i / T) + Σ_j exp(q_i·n_j / T) ) ).

    Args:
        query: q, rows of length 1; carries the gradient.
        key: k, of other views of the same images.
        queue: n, keys of other images.
        temperature: T.
    """
    own = (query * key).sum(1, keepdim=True)  # b 1
    logits = torch.cat([own, query @ queue.T], 1) / temperature
    return torch.nn.functional.cross_entropy(
        logits, torch.zeros(len(logits), dtype=torch.long, device=query.device)
    )
