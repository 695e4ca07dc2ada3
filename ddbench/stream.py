"""The one source of training batches: augmented on the device, a function of (seed, epoch, index).

Teachers, students, stored labels and labels asked while training all read this stream, so that
they see the same views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ddbench.augment import draw_boxes, draw_flips, draw_mix, resample
from ddbench.seeds import generator, seed_of
from ddbench.siamese import draw, operations
from ddbench.spec import Augmentation
from ddbench.types import Batch, DatasetInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Epochs of augmented batches over a set of images."""

    images: Shaped[Tensor, "n c h w"]
    """uint8 0..255, or floating pixels 0..1."""
    labels: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]
    info: DatasetInfo
    augmentation: Augmentation
    batch_size: int
    seed: int
    device: str = "cpu"

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return max(1, math.ceil(len(self.labels) / self.batch_size))

    def epoch(self, index: int) -> Iterator[Batch]:
        """The batches of one epoch, of nearly equal sizes, so that none is left with one image."""
        rng = generator(self.seed, "epoch", index)
        count, size = len(self.labels), self.info.shape[1:]
        order = torch.randperm(count, generator=rng)
        how = self.augmentation
        boxes = draw_boxes(count, size, how.crop, how.ratio, rng)
        flips = draw_flips(count, how.flip and self.info.mirror, rng)
        names = operations(how.one_of, self.info.mirror)
        for step, rows in enumerate(order.tensor_split(self.steps)):
            views = pixels(self.images[rows].to(self.device), self.info)
            if how.crop != (1.0, 1.0) or how.flip:
                views = resample(views, boxes[rows], flips[rows])
            if names:
                own = generator(self.seed, "operation", index, step)
                views = draw(names, len(rows), own).apply(views)
            mix_seed = seed_of(self.seed, "mix", index, step)
            mix = draw_mix(how.mix, how.mix_alpha, len(rows), size, mix_seed)
            weights = self.weights[rows]
            yield Batch(
                images=mix.apply(views),
                labels=self.labels[rows].to(self.device),
                weights=(weights / weights.mean()).to(self.device),
                indices=rows,
                partner_labels=self.labels[rows[mix.partners]].to(self.device),
                partner_indices=rows[mix.partners],
                share=mix.share,
            )


def pixels(images: Shaped[Tensor, "b c h w"], info: DatasetInfo) -> Float[Tensor, "b c h w"]:
    """Normalised images for a network: uint8 0..255 or floating 0..1 in, mean 0 and sd 1 out."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    images = images.float()
    mean = torch.tensor(info.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(info.std, device=images.device).view(1, -1, 1, 1)
    return ((images / scale - mean) / std).contiguous(memory_format=torch.channels_last)
