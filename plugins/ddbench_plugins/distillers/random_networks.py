"""Matches real and synthetic images in the eyes of many networks, untrained or half trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem, Forward
from ddbench.api.dsa import Drawn, draw, parse_strategy
from ddbench.api.types import Activations, DatasetInfo, Network
from ddbench_plugins.distillers._gaps import Gap, MeanGap
from ddbench_plugins.distillers._pools import FreshNetworks, Pool
from ddbench_plugins.distillers._synthetic import (
    DSA,
    Classes,
    Start,
    SyntheticImages,
    group_rows,
    start_images,
)
from ddbench_plugins.distillers._tiles import check_divisible, expand_tiles, shrink_tiles


class RandomNetworks(SyntheticImages, kw_only=True):
    """SGD on the pixels; a network of the pool and fresh real images each iteration.

    min_S  E_θ,ω Σ_c gap( f_θ(A_ω(T_c)), f_θ(A_ω(E S_c)) ) + w a_θ CE( z_θ(A_ω(E S_c)), c )

    ω is the same for real and synthetic images, E takes them apart into tiles at full size, a_θ is
    the network's accuracy in percent; DM has neither tiles nor cross-entropy. Without `clamp`
    images may leave the range of pixels. With batch normalisation all classes pass through the
    network together, so that its statistics are those of their mixture.

    Differences:
        One step on the summed classes; IDM and M3D step class by class. No two classes share a
        pixel and the network does not change, so that gradients are the same; but there the
        momentum of a class goes on moving its images while the other classes step.

    References:
        [1] Zhao and Bilen, Dataset Condensation with Distribution Matching, WACV 2023.
        [2] Zhao et al., Improved Distribution Matching for Dataset Condensation, CVPR 2023.
        [3] Zhang et al., M3D: Dataset Condensation by Minimizing Maximum Mean Discrepancy, AAAI
            2024.
    """

    iterations: Annotated[int, Ge(1)] = 20000
    """SGD steps, each through one network of the pool."""
    batch_real: Annotated[int, Ge(1)] = 256
    """Real images of each class an iteration."""
    lr: Annotated[float, Ge(0)] = 1.0
    momentum: Annotated[float, Ge(0)] = 0.5
    init: Start = "real"
    """Start from random training images of the class, or from N(0, 1) in normalised pixels."""
    augment: str = DSA
    """Operations joined by `_`, of which each class gets one an iteration; "" for none."""
    gap: Gap = MeanGap()
    """Distance that is minimised."""
    chunk_size: Annotated[int, Ge(1)] = 1024
    """Real images in one forward pass, about; bears on memory and time alone."""
    factor: Annotated[int, Ge(1)] = field(default=1, metadata={"added": True})
    """Tiles along each side of an image; students are shown factor² images for each stored one."""
    pool: Pool = field(default=FreshNetworks(), metadata={"added": True})
    """Where the networks come from."""
    cross_entropy: Annotated[float, Ge(0)] = field(default=0.0, metadata={"added": True})
    """Weight w of the synthetic images' cross-entropy, times the network's accuracy in percent."""
    clamp: bool = field(default=False, metadata={"added": True})
    """Keep images in the range of pixels after every step."""

    @property
    def shown(self) -> int:
        return self.factor**2

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return tuple(self.shown * count for count in super().counts(info, ipc))

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"]:
        """Makes the images.

        Raises:
            DDBenchError: images cannot be divided into tiles of equal size.
        """
        check_divisible(problem.info, self.factor)
        shown = group_rows(problem, indices)
        images, classes = self.start_images(problem, shown)
        classes = {cls: rows.to(images.device) for cls, rows in classes.items()}
        sgd = torch.optim.SGD([images], lr=self.lr, momentum=self.momentum)
        low, high = problem.pixel_range()
        for iteration, one in zip(range(self.iterations), self.pool.learners(problem)):  # noqa: B905
            one.network.module.requires_grad_(False)
            loss, images.grad = self.compute_slope(
                problem, one.network, images, classes, iteration, accuracy=one.accuracy
            )
            sgd.step()
            if self.clamp:
                images.clamp_(low, high)
            problem.tick(loss)
        result = images.new_empty(len(indices), *images.shape[1:])
        for cls, rows in shown.items():
            result[rows] = expand_tiles(images[classes[cls]], self.factor)
        return result

    def start_images(
        self, problem: DistillProblem, shown: Classes
    ) -> tuple[Float[torch.Tensor, "n c h w"], Classes]:
        """Returns images to begin with, each factor² real ones in one, and where each class is.

        Args:
            problem: Gives real images.
            shown: Where the images of each class are among those that students are shown.
        """
        if self.factor == 1:
            return start_images(problem, shown, self.init), shown
        counts = [len(rows) // self.shown for rows in shown.values()]
        own = dict(zip(shown, torch.arange(sum(counts)).split(counts), strict=True))
        if self.init == "noise":
            return start_images(problem, own, "noise"), own
        whole = start_images(problem, shown, self.init)
        return torch.cat([shrink_tiles(whole[rows], self.factor) for rows in shown.values()]), own

    def compute_slope(
        self,
        problem: DistillProblem,
        network: Network,
        images: Float[torch.Tensor, "b c h w"],
        classes: Classes,
        iteration: int,
        accuracy: float = 0.0,
    ) -> tuple[Float[torch.Tensor, ""], Float[torch.Tensor, "b c h w"]]:
        """Returns the sum of the classes' losses in one network, and its gradient to the images.

        Args:
            problem: Gives real images and draws.
            network: Both sides are looked at through it.
            images: Synthetic images, normalised; tiles are still together.
            classes: Where the images of each class are.
            iteration: Its number, which draws depend on.
            accuracy: Accuracy of the network, in percent.
        """
        names = parse_strategy(self.augment, problem.info.mirror)
        total, slope = images.new_zeros(()), torch.zeros_like(images)
        with closing(problem.probe(network, self.gap.taps(network))) as probe:
            for some in self._group_classes(network, classes):
                views = [draw(names, 1, problem.rng("view", iteration, cls)) for cls in some]
                with torch.no_grad():
                    real = _look(probe, self._draw_real(problem, some, views, iteration))
                leaves = [images[classes[cls]].requires_grad_(True) for cls in some]
                parts = [expand_tiles(leaf, self.factor) for leaf in leaves]
                made = _look(probe, [v.apply(x) for v, x in zip(views, parts, strict=True)])
                sides = zip(real, made, strict=True)
                gaps = [self.gap.measure(network, r.taps, m.taps) for r, m in sides]
                loss = torch.stack(gaps).sum()
                if weight := self.cross_entropy * accuracy:
                    loss = loss + weight * sum(map(_measure_entropy, made, some))
                for cls, part in zip(some, torch.autograd.grad(loss, leaves), strict=True):
                    slope[classes[cls]] = part
                total += loss.detach()
        return total, slope

    def _draw_real(
        self,
        problem: DistillProblem,
        classes: Sequence[int],
        views: Sequence[Drawn],
        iteration: int,
    ) -> list[Float[torch.Tensor, "_ c h w"]]:
        return [
            view.apply(
                problem.real_batch(cls, self.batch_real, problem.rng("real", iteration, cls))
            )
            for cls, view in zip(classes, views, strict=True)
        ]

    def _group_classes(self, network: Network, classes: Classes) -> Iterator[list[int]]:
        """Yields classes whose images pass through the network at once."""
        mixed = bool(network.norm_layers())
        count = len(classes) if mixed else max(1, self.chunk_size // self.batch_real)
        names = list(classes)
        for first in range(0, len(names), count):
            yield names[first : first + count]


def _look(probe: Forward, batches: Sequence[Float[torch.Tensor, "_ c h w"]]) -> list[Activations]:
    """Returns what the network gives for each batch; all pass through it at once."""
    sizes = [len(batch) for batch in batches]
    acts = probe(torch.cat(list(batches)))
    found: list[dict] = [{} for _ in batches]
    for tap, tensors in acts.taps.items():
        for name, values in tensors.items():
            for one, part in zip(found, values.split(sizes), strict=True):
                one.setdefault(tap, {})[name] = part
    logits = acts.logits.split(sizes)
    return [Activations(*each) for each in zip(logits, found, strict=True)]


def _measure_entropy(acts: Activations, cls: int) -> Float[torch.Tensor, ""]:
    """Returns the cross-entropy of images that are all of one class."""
    return torch.nn.functional.cross_entropy(
        acts.logits, acts.logits.new_full((len(acts.logits),), cls).long()
    )


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"random_networks": RandomNetworks()}
