"""Images on which a student goes in few steps where experts went in epochs on real images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.dsa import draw, parse_strategy
from ddbench.api.types import DatasetInfo
from ddbench_plugins._options import check_at_least
from ddbench_plugins.distillers._synthetic import (
    DSA,
    Start,
    count_equally,
    group_rows,
    start_images,
)
from ddbench_plugins.distillers._trajectories import ExpertTrails, Weights, measure_way_left, walk

Trails: TypeAlias = 'Sequence[Float[torch.Tensor, "t p"]]'


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryMatching:
    """SGD on images and on the student's learning rate, through all steps of a student.

    min_S,α  ‖ θ̂_{t+N} − θ*_{t+M} ‖² / ‖ θ*_t − θ*_{t+M} ‖²

    θ* is an expert's trail, one point an epoch, t random; θ̂ starts at θ*_t and takes N steps of
    rate α on the images. Experts are trained ahead, as far as they are looked at, and are the same
    for every seed and IPC; their cost is the method's. Students walk in float32 whatever the
    precision of the cell; images may leave the range of pixels.

    Differences:
        The learned rate is not handed to the students that judge the images. No ZCA whitening.

    References:
        Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"networks"})
    makes: ClassVar[Literal["pixels", "indices"]] = "pixels"
    exact: ClassVar[bool] = True

    iterations: int = 5000
    steps: int = 50
    """Of the student, N."""
    ahead: int = 2
    """Epochs of the expert that the student is to make up for, M."""
    latest: int = 2
    """Starts are drawn from so many first epochs, T⁺."""
    lr: float = 100.0
    """Of the images."""
    momentum: float = 0.5
    """Of images and rate."""
    rate: float = 0.01
    """The student's learning rate α at the start."""
    lr_rate: float = 1e-7
    """Of the student's learning rate."""
    batch_synthetic: int = 0
    """Images for a step of the student; 0 for all."""
    experts: int = 100
    expert_lr: float = 0.01
    expert_batch: int = 256
    init: Start = "real"
    """Start from random training images of the class, or from N(0, 1) in normalised pixels."""
    augment: str = DSA
    """Operations of which each batch gets one, each image with parameters of its own; "" none."""

    def __post_init__(self) -> None:
        counts = ("iterations", "steps", "ahead", "latest", "experts", "expert_batch")
        rates = dict.fromkeys(("lr", "momentum", "rate", "lr_rate", "expert_lr"), 0)
        check_at_least(self, **dict.fromkeys(counts, 1), **rates, batch_synthetic=0)
        parse_strategy(self.augment)

    @property
    def preparation(self) -> ExpertTrails:
        return ExpertTrails(
            experts=self.experts,
            epochs=self.latest - 1 + self.ahead,
            lr=self.expert_lr,
            batch_size=self.expert_batch,
            augment=self.augment,
        )

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return count_equally(info, ipc)

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """One group: students learn from all classes."""
        return [torch.arange(len(labels))]

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return self.iterations

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"]:
        weights = Weights(problem.fresh_network("student"))
        images = start_images(problem, group_rows(problem, indices), self.init).requires_grad_(True)
        labels = problem.labels[indices.to(problem.labels.device)].to(images.device)
        rate = torch.tensor(self.rate, device=images.device, requires_grad=True)
        sgd = torch.optim.SGD(
            [{"params": [images]}, {"params": [rate], "lr": self.lr_rate}],
            lr=self.lr,
            momentum=self.momentum,
        )
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
        return images.detach()

    def _draw_span(
        self, trails: Trails, rng: torch.Generator
    ) -> tuple[Float[torch.Tensor, " p"], Float[torch.Tensor, " p"]]:
        """Where a student starts and where it is to go."""
        trail = trails[int(torch.randint(len(trails), (), generator=rng))]
        first = int(torch.randint(self.latest, (), generator=rng))
        return trail[first], trail[first + self.ahead]

    def draw_rows(self, count: int, rng: torch.Generator) -> Iterator[Int[torch.Tensor, " b"]]:
        """The images of every step of a student: shuffled epochs, a short batch first."""
        left: list[torch.Tensor] = []
        for _ in range(self.steps):
            if not left:
                order = torch.randperm(count, generator=rng)
                left = list(order.split(self.batch_synthetic or count))
            yield left.pop()


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"trajectory_matching": TrajectoryMatching()}
