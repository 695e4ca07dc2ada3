"""The recover loop of the SRe2L family: pixels optimised through a frozen teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Literal, TypeAlias

import torch
from annotated_types import Ge, Interval
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.augment import crop_all, draw_boxes, draw_flips, resample
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.errors import DDBenchError
from ddbench.api.options import Options, Rule
from ddbench.api.recipe import Areas, Ratios
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._per_class import split_by_class

SHARE = 0.5
"""Share of the free memory that `batch_size="auto"` fills."""
Beta: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
Shifts: TypeAlias = Annotated[
    tuple[int, int], Rule(lambda shifts: shifts[0] <= shifts[1], "lowest <= highest")
]


class Curriculum(Options, kw_only=True):
    """Crops that begin with whole images and come to keep less of them, as in CDA."""

    smallest: Annotated[float, Interval(gt=0, le=1)] = 0.08
    """Smallest area of a crop once the curriculum has ended."""
    milestone: Annotated[float, Interval(ge=0, le=1)] = 1.0
    """Part of the iterations over which it runs; 0 for none, which is SRe2L."""
    shape: Literal["cosine", "linear", "step"] = "cosine"
    """Course of the smallest area from 1: half a cosine, a line, or all at the end."""

    def area(self, done: float) -> tuple[float, float]:
        """Returns smallest and largest area of a crop: (a + (1 − a) g(u / m), 1), (a, 1) from m on.

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


class Optimize(Distiller, kw_only=True):
    """Adam on the pixels, cosine rate, a random view each iteration, pixels kept in range.

    Differences:
        The last iterate is stored as rounded bytes; the released codes truncate and save a JPEG.
        "spread" fills its groups: where classes are fewer than `batch_size`, a group holds several
        images of each. The released codes put no two images of a class into one.

    References:
        Yin et al., Squeeze, Recover and Relabel (SRe2L), NeurIPS 2023, released code.
    """

    needs = frozenset({"teacher", "objective"})

    iterations: Annotated[int, Ge(1)] = 2000
    """Adam steps for each group of images."""
    batch_size: Annotated[int, Ge(1)] | Literal["auto"] = 100
    """Images optimised together, at most; "auto" for as many as fit, with `same_views`."""
    layout: Literal["classes", "spread"] = "classes"
    """"classes": all images of a class in one group; "spread": dealt class by class, as SRe2L has
    it."""
    lr: Annotated[float, Ge(0)] = 0.25
    betas: tuple[Beta, Beta] = (0.5, 0.9)
    eps: Annotated[float, Ge(0)] = 1e-8
    init: Literal["noise", "real"] = "noise"
    """Start from N(0, 1) in normalised pixels, or from random training images of the class."""
    crop: Areas | Curriculum = (0.08, 1.0)
    """Smallest and largest area of the random resized crop, (1, 1) for none; or a curriculum."""
    ratio: Ratios = (0.75, 1.3333333333333333)
    """Smallest and largest width to height of the crop."""
    per_image: bool = False
    """A crop and flip of its own for every image, instead of one for the batch."""
    flip: bool = True
    """Mirror half of the views, where the data set allows it."""
    roll: Shifts = (0, 32)
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
        super().__post_init__()
        if self.same_views or self.batch_size == "auto":
            for name, expected in (("per_image", False), ("layout", "classes")):
                if getattr(self, name) != expected:
                    raise DDBenchError(
                        f"{name} is {getattr(self, name)}",
                        f"expected: {expected} where views are the same for all groups",
                    )

    def fitted(self, problem: DistillProblem, labels: Int[torch.Tensor, " n"]) -> Optimize:
        """Decides `batch_size="auto"`: as many images as half of the free memory holds.

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
        """Returns groups of at most `batch_size` images.

        Whole classes go together while they fit; a class that is larger than a group is divided
        into nearly equal ones. With "spread", images are dealt class by class, rank by rank.
        """
        size = self.batch_size
        assert isinstance(size, int), "`fitted` decides it"
        classes = split_by_class(labels).values()
        if self.layout == "spread":
            rank = torch.zeros_like(labels)
            for rows in classes:
                rank[rows] = torch.arange(len(rows))
            order = torch.argsort(rank * (int(labels.max()) + 1) + labels, stable=True)
            return list(order.split(size))
        groups: list[torch.Tensor] = []
        held: list[torch.Tensor] = []
        for rows in classes:
            if held and sum(map(len, held)) + len(rows) > size:
                groups.append(torch.cat(held))
                held = []
            if len(rows) > size:
                groups.extend(rows.tensor_split(math.ceil(len(rows) / size)))
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
        """Returns half a cosine from `lr` towards 0, without warm-up: lr/2 (1 + cos(pi t / T))."""
        return self.lr * 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))

    def draw_view(
        self,
        images: Float[torch.Tensor, "b c h w"],
        info: DatasetInfo,
        rng: torch.Generator,
        done: float = 0.0,
    ) -> Float[torch.Tensor, "b c h w"]:
        """Draws a random resized crop and flip, then a circular shift.

        Args:
            images: Normalised.
            info: Says how large images are, and whether they may be mirrored.
            rng: Draws.
            done: Part of the iterations that lies behind, for a curriculum.
        """
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
        """Returns the images that the loop begins with."""
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
            for cls, rows in split_by_class(labels).items():
                real = problem.real(cls)
                # An image's place in its class: groups that share a class share one order of its
                # real images, and none of these is taken twice.
                places = (problem.labels.cpu() == cls).nonzero().flatten()
                divided = len(rows) < len(places)
                alone = self.same_views or divided
                own = problem.rng("start", "class", cls) if alone else rng
                place = torch.searchsorted(places, indices.cpu()[rows])
                chosen = torch.randperm(len(real), generator=own)[place]
                start[rows.to(problem.device)] = real[chosen.to(problem.device)]
        return start.contiguous(memory_format=torch.channels_last)


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"optimize": Optimize()}
