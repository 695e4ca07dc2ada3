"""The one source of training batches: augmented on the device, a function of (seed, epoch, index).

Teachers, students, stored labels and labels asked while training all read this stream, so that
they see the same views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ddbench.api.augment import Mix, draw_boxes, draw_flips, draw_mix, resample
from ddbench.api.dsa import draw, parse_strategy
from ddbench.api.labelled_views import StoredViews
from ddbench.api.recipe import Augmentation
from ddbench.api.tensors import send_to
from ddbench.api.types import Batch, DatasetInfo
from ddbench.data.whitening import Whitening
from ddbench.runtime.seeds import derive_seed, make_generator


@dataclass(frozen=True, slots=True)
class Views:
    """How the images of one batch are shown: drawn, or stored."""

    rows: Int[Tensor, " b"]
    """Images of the set."""
    boxes: Int[Tensor, "b 4"]
    """Top, left, height, width of each one's crop, in pixels."""
    flips: Bool[Tensor, " b"]
    mix: Mix
    answers: Float[Tensor, "b k"] | None = None
    """Stored logits of a teacher."""


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
    whitening: Whitening | None = None
    """Instead of normalisation by mean and deviation."""
    learned: Float[Tensor, "n k"] | None = None
    """Labels that came with the images, which every batch carries."""
    stored: StoredViews | None = None
    """Views to show instead of drawing any: augmentation, batch size and seed do not bear then."""

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        if self.stored is not None:
            return len(self.stored.batches)
        return max(1, math.ceil(len(self.labels) / self.batch_size))

    def epoch(self, index: int) -> Iterator[Batch]:
        """The batches of one epoch, of nearly equal sizes, so that none is left with one image.

        Stored views come in the batches in which they were stored; after the last stored epoch the
        first one is shown again.
        """
        how = self.augmentation
        names = parse_strategy(how.one_of, self.info.mirror) if self.stored is None else ()
        for step, shown in enumerate(self.views(index)):
            rows, mix = shown.rows, shown.mix
            own = self.images.index_select(0, rows)  # ten times as fast as images[rows]
            views = prepare_inputs(send_to(own, self.device), self.info, self.whitening)
            if self._varied(shown):
                views = resample(views, shown.boxes, shown.flips)
            if names:
                rng = make_generator(self.seed, "operation", index, step)
                views = draw(names, len(rows), rng).apply(views)
            weights = self.weights[rows]
            answers = shown.answers
            yield Batch(
                # Resampling on a CPU leaves channels first, and the images alone decide there in
                # which layout a student is trained: it would take a fifth more time.
                images=mix.apply(views).contiguous(memory_format=torch.channels_last),
                labels=send_to(self.labels[rows], self.device),
                weights=send_to(weights / weights.mean(), self.device),
                indices=rows,
                partner_labels=send_to(self.labels[rows[mix.partners]], self.device),
                partner_indices=rows[mix.partners],
                share=mix.share,
                answers=None if answers is None else send_to(answers, self.device),
                learned=self.learned,
                epoch=index,
            )

    def views(self, index: int) -> Iterator[Views]:
        """How the images of one epoch are shown, but for siamese operations; no image is read."""
        if self.stored is not None:
            yield from read_stored_epoch(self.stored, index % len(self.stored.logits), self._size)
            return
        rng = make_generator(self.seed, "epoch", index)
        count, how = len(self.labels), self.augmentation
        order = torch.randperm(count, generator=rng)
        boxes = draw_boxes(count, self._size, how.crop, how.ratio, rng)
        flips = draw_flips(count, how.flip and self.info.mirror, rng)
        for step, rows in enumerate(order.tensor_split(self.steps)):
            mix_seed = derive_seed(self.seed, "mix", index, step)
            mix = draw_mix(how.mix, how.mix_alpha, len(rows), self._size, mix_seed)
            yield Views(rows, boxes[rows], flips[rows], mix)

    @property
    def _size(self) -> tuple[int, int]:
        return self.info.shape[1], self.info.shape[2]

    def _varied(self, shown: Views) -> bool:
        """True if any image is cropped or mirrored."""
        if self.stored is None:
            return self.augmentation.crop != (1.0, 1.0) or self.augmentation.flip
        whole = torch.tensor([0, 0, *self._size])
        return bool(shown.flips.any()) or not torch.equal(shown.boxes, whole.expand_as(shown.boxes))


def read_stored_epoch(stored: StoredViews, epoch: int, size: tuple[int, int]) -> Iterator[Views]:
    """The views of one stored epoch, batch by batch.

    Crops are rounded to pixels: the released codes drew them in pixels, and store parts of the
    image. The share that a CutMix box leaves is counted, as where it is drawn.
    """
    scale = torch.tensor([*size, *size], dtype=torch.float64)
    start = 0
    for step, count in enumerate(stored.batches):
        part = slice(start, start + count)
        boxes = (stored.crops[epoch, part].double() * scale).round().long()
        mix = Mix("none", torch.arange(count), 1.0)
        if stored.partners is not None and stored.shares is not None:
            mix = Mix("mixup", stored.partners[epoch, part], stored.shares[epoch, step].item())
        if stored.boxes is not None:
            top, left, bottom, right = stored.boxes[epoch, step].tolist()
            covered = (bottom - top) * (right - left) / (size[0] * size[1])
            mix = Mix("cutmix", mix.partners, 1 - covered, (top, left, bottom, right))
        yield Views(
            stored.rows[epoch, part], boxes, stored.flips[epoch, part], mix,
            stored.logits[epoch, part].float(),
        )  # fmt: skip
        start += count


def to_stored_views(epochs: Sequence[Sequence[Views]], size: tuple[int, int]) -> StoredViews:
    """Views and their answers as they are handed on; the answers in half precision.

    Args:
        epochs: The batches of each; all have answers, and batches of the same sizes.
        size: Height and width of the images.
    """
    scale = torch.tensor([*size, *size], dtype=torch.float32)

    def rows_of(name: str) -> Tensor:
        return torch.stack([torch.cat([getattr(v, name) for v in views]) for views in epochs])

    def mixes(read: Callable[[Mix], Any]) -> list[list[Any]]:
        return [[read(v.mix) for v in views] for views in epochs]

    kinds = {kind for row in mixes(lambda mix: mix.kind) for kind in row} - {"none"}
    partners = [torch.cat([v.mix.partners for v in views]) for views in epochs]
    return StoredViews(
        logits=rows_of("answers").half(),
        crops=rows_of("boxes") / scale,
        flips=rows_of("flips"),
        rows=rows_of("rows"),
        batches=tuple(len(v.rows) for v in epochs[0]),
        partners=torch.stack(partners) if kinds else None,
        shares=torch.tensor(mixes(lambda mix: mix.share), dtype=torch.float64) if kinds else None,
        boxes=torch.tensor(mixes(lambda mix: mix.box)) if "cutmix" in kinds else None,
    )


def prepare_inputs(
    images: Shaped[Tensor, "b c h w"], info: DatasetInfo, whitening: Whitening | None
) -> Float[Tensor, "b c h w"]:
    """Whitened images for a network, or normalised ones."""
    return normalise(images, info) if whitening is None else whitening.apply(images)


def normalise(images: Shaped[Tensor, "b c h w"], info: DatasetInfo) -> Float[Tensor, "b c h w"]:
    """Normalised images for a network: uint8 0..255 or floating 0..1 in, mean 0 and sd 1 out."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    images = images.float()
    mean, std = (send_to(torch.tensor(each), images.device) for each in (info.mean, info.std))
    mean, std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
    return ((images / scale - mean) / std).contiguous(memory_format=torch.channels_last)
