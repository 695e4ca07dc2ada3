"""Images on which a network gets the gradients that it would get on real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.dsa import draw, parse_strategy
from ddbench.api.types import Network
from ddbench_plugins.distillers._gradients import Distance, compare_gradients
from ddbench_plugins.distillers._synthetic import (
    Classes,
    Start,
    SyntheticImages,
    group_rows,
    start_images,
)

_SETTLING = 16
"""Real images of each class that set the running statistics of batch normalisation."""


class GradientMatching(SyntheticImages, kw_only=True):
    """Steps of the images, and between them steps of a network that learns from the images.

    min_S  E_θ0 Σ_t Σ_c D( ∇_θ CE(θ_t; A_ω(T_c)), ∇_θ CE(θ_t; A_ω(S_c)) )

    θ_0 is a fresh network each iteration; θ_t+1 comes from `inner` epochs on the images. Without
    augmentation this is DC, with it DSA. Images may leave the range of pixels.

    Differences:
        One step on the summed classes, as released; the paper's algorithm steps class by class.

    References:
        [1] Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021.
        [2] Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML
            2021.
    """

    iterations: Annotated[int, Ge(1)] = 1000
    """Fresh networks."""
    outer: Annotated[int, Ge(1)] = 1
    """Steps of the images for each network."""
    inner: Annotated[int, Ge(0)] = 1
    """Epochs of the network on the images between two of their steps."""
    batch_real: Annotated[int, Ge(1)] = 256
    """Real images of a class for each step."""
    batch_train: Annotated[int, Ge(1)] = 256
    """Synthetic images for a step of the network."""
    lr: Annotated[float, Ge(0)] = 0.1
    momentum: Annotated[float, Ge(0)] = 0.5
    lr_net: Annotated[float, Ge(0)] = 0.01
    init: Start = "noise"
    """Start from N(0, 1) in normalised pixels, or from random training images of the class."""
    augment: str = ""
    """Operations joined by `_`, of which each class gets one a step; "" for none."""
    distance: Distance = "rows"
    """"rows": cosines of what each output gets; "cosine": of everything; "squares"."""

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        """Returns the number of steps of the images."""
        return self.iterations * self.outer

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"]:
        classes = group_rows(problem, indices)
        images = start_images(problem, classes, self.init)
        there = {cls: rows.to(images.device) for cls, rows in classes.items()}
        sgd = torch.optim.SGD([images], lr=self.lr, momentum=self.momentum)
        for iteration in range(self.iterations):
            network = problem.fresh_network(iteration)
            learner = torch.optim.SGD(network.module.parameters(), lr=self.lr_net)
            for step in range(self.outer):
                if step:
                    rng = problem.rng("learn", iteration, step)
                    self._learn(problem, network, learner, images, classes, rng)
                loss, images.grad = self.compute_slope(
                    problem, network, images, there, iteration, step
                )
                sgd.step()
                problem.tick(loss)
        return images

    def compute_slope(
        self,
        problem: DistillProblem,
        network: Network,
        images: Float[torch.Tensor, "b c h w"],
        classes: Classes,
        *place: int,
    ) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, "b c h w"]]:
        """Returns the sum of the classes' distances in one network, and its gradient to the images.

        Args:
            problem: Gives real images and draws.
            network: Its weights decide about the gradients that are compared.
            images: Synthetic images, normalised.
            classes: Where the images of each class are.
            place: Iteration and step, which draws depend on.
        """
        names = parse_strategy(self.augment, problem.info.mirror)
        self._settle(problem, network, classes, *place)
        total, slope = images.new_zeros(()), torch.zeros_like(images)
        for cls, rows in classes.items():
            view = draw(names, 1, problem.rng("view", *place, cls))
            batch = problem.real_batch(cls, self.batch_real, problem.rng("real", *place, cls))
            real = self._differentiate(problem, network, view.apply(batch), cls)
            leaf = images[rows].requires_grad_(True)
            made = self._differentiate(problem, network, view.apply(leaf), cls, keep=True)
            loss = compare_gradients(real, made, self.distance)
            (slope[rows],) = torch.autograd.grad(loss, [leaf])
            total += loss.detach()
        return total, slope

    def _differentiate(
        self,
        problem: DistillProblem,
        network: Network,
        images: Float[torch.Tensor, "b c h w"],
        cls: int,
        keep: bool = False,
    ) -> list[torch.Tensor]:
        """Returns the gradients of the weights on images of a class; differentiable if `keep`."""
        weights = list(network.module.parameters())
        if self.distance == "rows":  # what it leaves out need not be computed
            weights = [weight for weight in weights if weight.dim() > 1]
        logits = problem.probe(network)(images).logits
        labels = torch.full((len(images),), cls, device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return list(torch.autograd.grad(loss, weights, create_graph=keep))

    def _learn(
        self,
        problem: DistillProblem,
        network: Network,
        learner: torch.optim.Optimizer,
        images: Float[torch.Tensor, "b c h w"],
        classes: Classes,
        rng: torch.Generator,
    ) -> None:
        """Trains the network for `inner` epochs on the images as they are."""
        labels = torch.empty(len(images), dtype=torch.long)
        for cls, rows in classes.items():
            labels[rows] = cls
        network.module.train()
        forward = problem.probe(network)
        names = parse_strategy(self.augment, problem.info.mirror)
        for _ in range(self.inner):
            for rows in torch.randperm(len(images), generator=rng).split(self.batch_train):
                views = draw(names, len(rows), rng).apply(images[rows])
                loss = torch.nn.functional.cross_entropy(
                    forward(views).logits, labels[rows].to(images.device)
                )
                learner.zero_grad(set_to_none=True)
                loss.backward()
                learner.step()

    def _settle(
        self, problem: DistillProblem, network: Network, classes: Classes, *place: int
    ) -> None:
        """Shows real images of all classes to batch normalisation, and fixes it for the step."""
        layers = network.norm_layers()
        if not layers:
            return
        network.module.train()
        batches = [
            problem.real_batch(cls, _SETTLING, problem.rng("settle", *place, cls))
            for cls in classes
        ]
        with torch.no_grad():
            problem.probe(network)(torch.cat(batches))
        for name in layers:
            network.module.get_submodule(name).eval()


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"gradient_matching": GradientMatching()}
