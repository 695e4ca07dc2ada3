"""RDED: mosaics of the patches of real images that the teacher finds most realistic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.augment import draw_boxes
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.recipe import Areas, Ratios
from ddbench_plugins.distillers._per_class import ClassByClass
from ddbench_plugins.distillers._tiles import check_divisible, tile


class RDED(ClassByClass, kw_only=True):
    """For each class: crops of real images, ranked by the teacher, the best tiled into images.

    Differences:
        Where a class has fewer images than a distilled set of it has tiles, each image gives its
        best few crops instead of its best one; the released code would make fewer images.
        Tiles are stored as rounded bytes; the released code truncates and saves a JPEG.

    References:
        Sun et al., On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
        Distillation Paradigm, CVPR 2024, arXiv:2312.03526, and its released code.
    """

    needs = frozenset({"teacher"})

    factor: Annotated[int, Ge(1)] = 1
    """Tiles along each side of an image; the paper has 2 from 128 pixels on, 1 below."""
    candidates: Annotated[int, Ge(1)] = 300
    """Real images drawn for a class; more where there are more tiles to fill."""
    crops: Annotated[int, Ge(1)] = 5
    """Random crops of each, of which the best is kept."""
    crop: Areas = (0.08, 1.0)
    """Smallest and largest area of a crop."""
    ratio: Ratios = (1.0, 1.0)
    """Smallest and largest width to height of a crop."""
    batch_size: Annotated[int, Ge(1)] = 250
    """Patches that the teacher sees at once; bears on memory only."""

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Float[torch.Tensor, "b c h w"]:
        """Makes mosaics of the best patches: tile k of all images holds the k-th best ones.

        Raises:
            DDBenchError: images cannot be divided into tiles of equal size.
        """
        check_divisible(problem.info, self.factor)
        cls = int(problem.labels[int(indices[0])])
        tiles = len(indices) * self.factor**2
        rng = problem.rng("class", cls)
        real = problem.real(cls)
        drawn = torch.randperm(len(real), generator=rng)[: max(self.candidates, tiles)]
        kept = -(-tiles // len(drawn))
        patches = self.cut_patches(real[drawn.to(real.device)], max(self.crops, kept), rng)
        scores = self.score_patches(problem, patches.flatten(0, 1), cls).view(patches.shape[:2])
        chosen = rank_patches(scores, kept)[:tiles]
        problem.tick()
        return tile(patches.flatten(0, 1)[chosen], self.factor)

    def cut_patches(
        self, images: Float[torch.Tensor, "n c h w"], crops: int, rng: torch.Generator
    ) -> Float[torch.Tensor, "n r c s t"]:
        """Draws r random resized crops of each image, each a tile in size."""
        height, width = images.shape[2:]
        boxes = draw_boxes(len(images) * crops, (height, width), self.crop, self.ratio, rng)
        shape = (height // self.factor, width // self.factor)
        patches = [
            torch.nn.functional.interpolate(
                images[index // crops, None, :, top : top + h, left : left + w],
                shape,
                mode="bilinear",
                antialias=True,
            )
            for index, (top, left, h, w) in enumerate(boxes.tolist())
        ]
        return torch.cat(patches).unflatten(0, (len(images), crops))

    def score_patches(
        self, problem: DistillProblem, patches: Float[torch.Tensor, "p c s t"], cls: int
    ) -> Float[torch.Tensor, " p"]:
        """Returns the teacher's cross-entropy on each patch: low where it looks like its class.

        A patch lies in the middle of a normalised image that is 0 elsewhere, the mean colour.
        """
        _, height, width = problem.info.shape
        rows, columns = height - patches.shape[2], width - patches.shape[3]
        around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        scores = []
        for some in patches.split(self.batch_size):
            with torch.no_grad():
                logits = problem.teachers[0](torch.nn.functional.pad(some, around)).logits
            target = torch.full((len(some),), cls, device=logits.device)
            scores.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
        return torch.cat(scores)


def rank_patches(scores: Float[torch.Tensor, "n r"], kept: int) -> Int[torch.Tensor, " p"]:
    """Returns positions of the `kept` lowest of each row, lowest first over all rows.

    All best of a row come before any second-best, so that images are as different as can be.
    Positions are those in the flattened scores.
    """
    order = scores.argsort(dim=1, stable=True)[:, :kept]  # n kept
    rounds = []
    for column in order.unbind(1):
        rows = torch.arange(len(scores), device=scores.device)
        overall = scores[rows, column].argsort(stable=True)
        rounds.append((rows * scores.shape[1] + column)[overall])
    return torch.cat(rounds)


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"rded": RDED()}
