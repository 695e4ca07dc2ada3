"""Images on which a student goes in few steps where experts went in epochs on real images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem, Learned
from ddbench.api.dsa import draw, parse_strategy
from ddbench_plugins.distillers._synthetic import (
    DSA,
    Start,
    SyntheticImages,
    group_rows,
    start_images,
)
from ddbench_plugins.distillers._trajectories import ExpertTrails, Weights, measure_way_left, walk

Trails: TypeAlias = 'Sequence[Float[torch.Tensor, "t p"]]'


class TrajectoryMatching(SyntheticImages, kw_only=True):
    """SGD on images and on the student's learning rate, through all steps of a student.

    min_S,α  ‖ θ̂_{t+N} − θ*_{t+M} ‖² / ‖ θ*_t − θ*_{t+M} ‖²

    θ* is an expert's trail, one point an epoch, t random; θ̂ starts at θ*_t and takes N steps of
    rate α on the images. Experts are trained ahead, as far as they are looked at, and are the same
    for every seed and IPC; their cost is the method's. Students walk in float32 whatever the
    precision of the cell; images may leave the range of pixels.

    Differences:
        The learned rate is not handed to the students that judge the images, unless `keep_rate` and
        the protocol's `learned_rate` say so. No ZCA whitening.

    References:
        Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022.
    """

    version = 2

    iterations: Annotated[int, Ge(1)] = 5000
    steps: Annotated[int, Ge(1)] = 50
    """Steps of the student, N."""
    ahead: Annotated[int, Ge(1)] = 2
    """Epochs of the expert that the student is to make up for, M."""
    latest: Annotated[int, Ge(1)] = 2
    """Starts are drawn from so many first epochs, T⁺."""
    lr: Annotated[float, Ge(0)] = 100.0
    """Learning rate of the images."""
    momentum: Annotated[float, Ge(0)] = 0.5
    """Momentum of images and rate."""
    rate: Annotated[float, Ge(0)] = 0.01
    """The student's learning rate α at the start."""
    lr_rate: Annotated[float, Ge(0)] = 1e-7
    """Learning rate of the student's learning rate."""
    batch_synthetic: Annotated[int, Ge(0)] = 0
    """Images for a step of the student; 0 for all."""
    experts: Annotated[int, Ge(1)] = 100
    expert_lr: Annotated[float, Ge(0)] = 0.01
    expert_batch: Annotated[int, Ge(1)] = 256
    init: Start = "real"
    """Start from random training images of the class, or from N(0, 1) in normalised pixels."""
    augment: str = DSA
    """Operations of which each batch gets one, each image with parameters of its own; "" none."""
    keep_rate: bool = field(default=False, metadata={"added": True})
    """Whether the learned rate α becomes part of the distilled set."""

    @property
    def learns(self) -> frozenset[str]:
        return frozenset({"rate"} if self.keep_rate else ())

    @property
    def preparation(self) -> ExpertTrails:
        return ExpertTrails(
            experts=self.experts,
            epochs=self.latest - 1 + self.ahead,
            lr=self.expert_lr,
            batch_size=self.expert_batch,
            augment=self.augment,
        )

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"] | Learned:
        weights = Weights(problem.fresh_network("student"))
        images = start_images(problem, group_rows(problem, indices), self.init).requires_grad_(True)
        labels = problem.labels[indices.to(problem.labels.device)].to(images.device)
        rate = torch.tensor(self.rate, device=images.device, requires_grad=True)
        groups: list[dict[str, Any]] = [
            {"params": [images]},
            {"params": [rate], "lr": self.lr_rate},
        ]
        sgd = torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
        names = parse_strategy(self.augment, problem.info.mirror)
        for iteration in range(self.iterations):
            rng = problem.rng("iteration", iteration)
            start, target = (
                point.to(images.device) for point in self._draw_span(problem.prepared, rng)
            )
            batches = [
                (draw(names, len(rows), rng).apply(images[rows]), labels[rows])
                for rows in self.draw_rows(len(images), rng)
            ]
            loss = measure_way_left(walk(weights, start, rate, batches), start, target)
            images.grad, rate.grad = torch.autograd.grad(loss, [images, rate])
            sgd.step()
            problem.tick(loss.detach())
        made = images.detach()
        return Learned(made, rate=rate.item()) if self.keep_rate else made

    def _draw_span(
        self, trails: Trails, rng: torch.Generator
    ) -> tuple[Float[torch.Tensor, " p"], Float[torch.Tensor, " p"]]:
        """Draws where a student starts and where it is to go."""
        trail = trails[int(torch.randint(len(trails), (), generator=rng))]
        first = int(torch.randint(self.latest, (), generator=rng))
        return trail[first], trail[first + self.ahead]

    def draw_rows(self, count: int, rng: torch.Generator) -> Iterator[Int[torch.Tensor, " b"]]:
        """Yields the images of every step of a student: shuffled epochs, a short batch first."""
        left: list[torch.Tensor] = []
        for _ in range(self.steps):
            if not left:
                order = torch.randperm(count, generator=rng)
                left = list(order.split(self.batch_synthetic or count))
            yield left.pop()


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"trajectory_matching": TrajectoryMatching()}
