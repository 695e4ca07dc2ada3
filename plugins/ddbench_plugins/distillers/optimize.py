"""The recover loop of the SRe2L family: pixels optimised through a frozen teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.augment import crop_all, draw_boxes, draw_flips, resample
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo

SHARE = 0.5
"""Of the free memory that `batch_size="auto"` fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """Crops that begin with whole images and come to keep less of them, as in CDA."""

    version: ClassVar[int] = 1

    smallest: float = 0.08
    """Smallest area of a crop once the curriculum has ended."""
    milestone: float = 1.0
    """Part of the iterations over which it runs; 0 for none, which is SRe2L."""
    shape: Literal["cosine", "linear", "step"] = "cosine"
    """How the smallest area falls from 1: along half a cosine, a line, or all at the end."""

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= 1:
            raise DDBenchError(f"smallest is {self.smallest}", "expected: above 0, at most 1")
        if not 0 <= self.milestone <= 1:
            raise DDBenchError(f"milestone is {self.milestone}", "expected: 0 to 1")

    def area(self, done: float) -> tuple[float, float]:
        """Smallest and largest area of a crop: (a + (1 − a) g(u / m), 1), or (a, 1) from m on.

        g(v) = (1 + cos πv) / 2, or 1 − v, or 1

        Args:
            done: u, the part of all iterations that lies behind.

        References:
            Yin and Shen, Dataset Distillation via Curriculum Data Synthesis in Large Data Era
            (CDA), TMLR 2024, arXiv:2311.18838.
        """
        if done >= self.milestone:
            return self.smallest, 1.0
        share = done / self.milestone
        height = {"cosine": 0.5 * (1 + math.cos(math.pi * share)), "linear": 1 - share, "step": 1.0}
        return self.smallest + (1 - self.smallest) * height[self.shape], 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimize:
    """Adam on the pixels, cosine rate, a random view each iteration, pixels kept in range.

    Differences:
        The last iterate is stored as rounded bytes; the released codes truncate and save a JPEG.
        "spread" fills its groups: where classes are fewer than `batch_size`, a group holds several
        images of each. The released codes put no two images of a class into one.

    References:
        Yin et al., Squeeze, Recover and Relabel (SRe2L), NeurIPS 2023, released code.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"teacher", "objective"})
    makes: ClassVar[Literal["pixels", "indices"]] = "pixels"

    iterations: int = 2000
    """Adam steps for each group of images."""
    batch_size: int | Literal["auto"] = 100
    """Images optimised together, at most; "auto" for as many as fit, with `same_views`."""
    layout: Literal["classes", "spread"] = "classes"
    """"classes": all images of a class in one group; "spread": dealt class by class, as SRe2L has
    it."""
    lr: float = 0.25
    betas: tuple[float, float] = (0.5, 0.9)
    eps: float = 1e-8
    init: Literal["noise", "real"] = "noise"
    """Start from N(0, 1) in normalised pixels, or from random training images of the class."""
    crop: tuple[float, float] | Curriculum = (0.08, 1.0)
    """Smallest and largest area of the random resized crop, (1, 1) for none; or a curriculum."""
    ratio: tuple[float, float] = (0.75, 1.3333333333333333)
    """Smallest and largest width to height of the crop."""
    per_image: bool = False
    """A crop and flip of its own for every image, instead of one for the batch."""
    flip: bool = True
    """Mirror half of the views, where the data set allows it."""
    roll: tuple[int, int] = (0, 32)
    """Lowest and highest circular shift, drawn for both axes; (0, 0) for none."""
    clamp: bool = True
    """Keep pixels in the range that an image can have."""
    teachers: Literal["all", "rotation"] = field(default="all", metadata={"added": True})
    """Of an ensemble: "all", the mean of their losses in every iteration, or "rotation", one after
    the other, which takes as long as a single teacher."""

    same_views: bool = field(default=False, metadata={"added": True})
    """Every group sees the same random views, and every image starts from noise of its own: where
    the objective is a sum over classes, images do not depend on how they are divided."""

    def __post_init__(self) -> None:
        for name, allowed, expected in (
            ("iterations", self.iterations >= 1, "1 or more"),
            ("batch_size", self.batch_size == "auto" or self.batch_size >= 1, "1 or more, or auto"),
            ("lr", self.lr >= 0, "0 or more"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), "two of 0 to below 1"),
            ("eps", self.eps >= 0, "0 or more"),
            ("crop", _is_ordered(self.crop), "0 < smallest <= largest <= 1"),
            ("ratio", 0 < self.ratio[0] <= self.ratio[1], "0 < smallest <= largest"),
            ("roll", self.roll[0] <= self.roll[1], "lowest <= highest"),
            (
                "per_image",
                not (self.per_image and self._divides_freely),
                "False where views are same",
            ),
            ("layout", self.layout == "classes" or not self._divides_freely, "classes"),
        ):
            if not allowed:
                raise DDBenchError(f"{name} is {getattr(self, name)}", f"expected: {expected}")

    @property
    def _divides_freely(self) -> bool:
        return self.same_views or self.batch_size == "auto"

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return (ipc or 1,) * info.num_classes

    def fitted(self, problem: DistillProblem, labels: Int[torch.Tensor, " n"]) -> Optimize:
        """With `batch_size="auto"` as many images as half of the free memory holds.

        On a CPU 100 at most, where larger batches gain nothing, and 1,000 elsewhere: few kernels
        take tensors of 2³¹ numbers, which a ResNet has at 2,700 images of 224 pixels.

        Raises:
            DDBenchError: the objective is not a sum over classes, or no whole class fits.
        """
        if self.batch_size != "auto":
            return self
        if not problem.separable:
            raise DDBenchError(
                "batch_size=auto would change the images: the losses are not sums over classes",
                "expected: matchers and regularizers that are, such as wasserstein with "
                "norm=squared and class_batch_norm with class_reduction=sum",
                hint="--batch-size 100",
            )
        largest = int(torch.bincount(labels).max())
        part = replace(self, batch_size=largest, same_views=True)
        group = max(part.batches(labels), key=len)
        times = problem.room_for(lambda: replace(part, iterations=1).recover(problem, group))
        most = 100 if problem.device == "cpu" else min(1000, len(labels))
        count = min(int(SHARE * times * len(group)), max(most, largest))
        if count < largest:
            raise DDBenchError(
                f"the {largest} images of a class do not fit into memory together",
                f"room for {count} was found",
                hint="fewer images a class, or a smaller teacher",
            )
        return replace(part, batch_size=count)

    def batches(self, labels: Int[torch.Tensor, " n"]) -> list[Int[torch.Tensor, " b"]]:
        """Groups of at most `batch_size` images.

        Whole classes go together while they fit; a class that is larger than a group is divided
        into nearly equal ones. With "spread", images are dealt class by class, rank by rank.
        """
        if self.layout == "spread":
            rank = torch.zeros_like(labels)
            for cls in labels.unique():
                rows = (labels == cls).nonzero().flatten()
                rank[rows] = torch.arange(len(rows))
            order = torch.argsort(rank * (int(labels.max()) + 1) + labels, stable=True)
            return list(order.split(self.batch_size))
        groups: list[torch.Tensor] = []
        held: list[torch.Tensor] = []
        for cls in labels.unique():
            rows = (labels == cls).nonzero().flatten()
            if held and sum(map(len, held)) + len(rows) > self.batch_size:
                groups.append(torch.cat(held))
                held = []
            if len(rows) > self.batch_size:
                groups.extend(rows.tensor_split(math.ceil(len(rows) / self.batch_size)))
            else:
                held.append(rows)
        return groups + ([torch.cat(held)] if held else [])

    def iterations_of(self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]) -> int:
        return self.iterations

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"]:
        group = () if self.same_views else (int(indices[0]),)
        rng = problem.rng("group", *group)
        images = self._start_images(problem, indices, rng).requires_grad_(True)
        low, high = problem.pixel_range()
        rotates = self.teachers == "rotation"
        # Not fused: that kernel reads memory as it lies, and these gradients lie otherwise.
        adam = torch.optim.Adam([images], lr=self.lr, betas=self.betas, eps=self.eps)
        for iteration in range(self.iterations):
            adam.param_groups[0]["lr"] = self.compute_rate(iteration)
            view = self.draw_view(images, problem.info, rng, iteration / self.iterations)
            turn = {"teacher": iteration % len(problem.teachers)} if rotates else {}
            progress = iteration / max(1, self.iterations - 1)
            loss = problem.objective(view, indices, progress, **turn)
            (images.grad,) = torch.autograd.grad(loss, [images])
            adam.step()
            images.grad = None  # before the next activations are kept
            if self.clamp:
                with torch.no_grad():
                    images.clamp_(low, high)
            problem.tick(loss.detach())
        return images.detach()

    def compute_rate(self, iteration: int) -> float:
        """Half a cosine from `lr` towards 0, without warm-up: lr/2 (1 + cos(pi t / T))."""
        return self.lr * 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))

    def draw_view(
        self,
        images: Float[torch.Tensor, "b c h w"],
        info: DatasetInfo,
        rng: torch.Generator,
        done: float = 0.0,
    ) -> Float[torch.Tensor, "b c h w"]:
        """Random resized crop and flip, then a circular shift; `done` tells a curriculum where."""
        size, mirror = info.shape[1:], self.flip and info.mirror
        drawn = len(images) if self.per_image else 1
        crop = self.crop.area(done) if isinstance(self.crop, Curriculum) else self.crop
        boxes = draw_boxes(drawn, size, crop, self.ratio, rng)
        flips = draw_flips(drawn, mirror, rng)
        if self.crop != (1.0, 1.0) or mirror:
            if self.per_image:
                images = resample(images, boxes, flips)
            else:
                images = crop_all(images, boxes[0], bool(flips[0]))
        low, high = self.roll
        shift = torch.randint(low, high + 1, (2,), generator=rng).tolist()
        return images.roll(shift, dims=(2, 3)) if any(shift) else images

    def _start_images(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"], rng: torch.Generator
    ) -> Float[torch.Tensor, "b c h w"]:
        shape = (len(indices), *problem.info.shape)
        if self.init == "noise" and self.same_views:
            drawn = (
                torch.randn(shape[1:], generator=problem.rng("start", int(i))) for i in indices
            )
            start = torch.stack(list(drawn)).to(problem.device)
        elif self.init == "noise":
            start = torch.randn(shape, generator=rng).to(problem.device)
        else:
            start = torch.empty(shape, device=problem.device)
            labels = problem.labels[indices.to(problem.device)].cpu()
            for cls in labels.unique():
                rows = (labels == cls).nonzero().flatten()
                real = problem.real(int(cls))
                # An image's place in its class: groups that share a class share one order of its
                # real images, and none of these is taken twice.
                places = (problem.labels.cpu() == cls).nonzero().flatten()
                divided = len(rows) < len(places)
                alone = self.same_views or divided
                own = problem.rng("start", "class", int(cls)) if alone else rng
                place = torch.searchsorted(places, indices.cpu()[rows])
                chosen = torch.randperm(len(real), generator=own)[place]
                start[rows.to(problem.device)] = real[chosen.to(problem.device)]
        return start.contiguous(memory_format=torch.channels_last)


def _is_ordered(crop: tuple[float, float] | Curriculum) -> bool:
    return isinstance(crop, Curriculum) or 0 < crop[0] <= crop[1] <= 1


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"optimize": Optimize()}
