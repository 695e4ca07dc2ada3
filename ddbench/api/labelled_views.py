"""Stored views of a distilled set with a teacher's labels (FKD), and whether they belong to it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped

from ddbench.api.errors import DDBenchError, DDBenchWarning

_SURE = 3.0
"""Standard deviations above chance at which labels are taken to be of the images shown."""
_DECIDES = 0.1
"""Where three standard deviations are more, too few views are there to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredViews:
    """A teacher's logits for every augmented, mixed view that it was shown (FKD).

    The rows of an epoch are those of its batches, one after the other.
    """

    logits: Shaped[torch.Tensor, "e n k"]
    """Half or single precision, as stored."""
    crops: Float[torch.Tensor, "e n 4"]
    """Top, left, height and width, as parts of the image's height and width."""
    flips: Bool[torch.Tensor, "e n"]
    rows: Int[torch.Tensor, "e n"]
    """Which image of the set each row shows; every epoch shows each of them once."""
    batches: tuple[int, ...]
    """Sizes of the batches of every epoch; they sum to n."""
    partners: Int[torch.Tensor, "e n"] | None = None
    """Row, within the batch, of the image that was mixed in; None where nothing was mixed."""
    shares: Float[torch.Tensor, "e s"] | None = None
    """Part of each image that is its own, one number a batch. Under CutMix the released codes store
    what was drawn, not what the box leaves."""
    boxes: Int[torch.Tensor, "e s 4"] | None = None
    """CutMix: top, left, bottom and right of the part that the partner fills, in pixels, one box a
    batch; None for mixup."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Returns the tensors that there are, by name."""
        names = ("logits", "crops", "flips", "rows", "partners", "shares", "boxes")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def check_views(
    views: StoredViews, labels: Int[torch.Tensor, " n"], size: Sequence[int], where: object
) -> None:
    """Checks that tensors of views fit each other and the images.

    Args:
        views: As a format read them.
        labels: Classes of the images.
        size: Height and width of the images.
        where: Name of the set in errors.

    Raises:
        DDBenchError: a wrong shape, an image or partner that is not there, a crop or box that
            leaves the image.

    Warns:
        DDBenchWarning: the labels seem to be those of other images.
    """
    count, epochs, batches = len(labels), len(views.logits), len(views.batches)
    whole = min(views.batches, default=0) > 0 and sum(views.batches) == count
    logits = views.logits
    if logits.dim() != 3 or not epochs or logits.shape[1] != count or not whole:
        given = f"{tuple(logits.shape)} in batches of {views.batches or 'none'}"
        raise _wrong(where, f"logits are {given}", f"epochs x {count} images x classes")
    expected = {
        "crops": (epochs, count, 4),
        "flips": (epochs, count),
        "rows": (epochs, count),
        "partners": (epochs, count),
        "shares": (epochs, batches),
        "boxes": (epochs, batches, 4),
    }
    for name, tensor in views.tensors().items():
        if name in expected and tensor.shape != expected[name]:
            raise _wrong(where, f"{name} are {tuple(tensor.shape)}", f"{expected[name]}")
    mixed = views.partners is not None
    if (views.shares is not None) != mixed or (views.boxes is not None and not mixed):
        raise _wrong(where, "some say how views were mixed and some do not", "partners and shares")
    if not torch.equal(views.rows.sort(1).values, torch.arange(count).expand(epochs, count)):
        raise _wrong(where, "epochs do not show every image once", f"each of {count} images once")
    if int(labels.max()) >= logits.shape[2]:
        raise _wrong(where, f"logits have {logits.shape[2]} classes", f"{int(labels.max()) + 1}")
    _check_places(views, size, where)
    _warn_if_foreign(views, labels, where)


def _check_places(views: StoredViews, size: Sequence[int], where: object) -> None:
    """Checks that crops, boxes and partners lie inside images and batches."""
    corners = torch.cat([views.crops[..., :2], views.crops[..., :2] + views.crops[..., 2:]], 2)
    inside = (corners > -0.01).all() and (corners < 1.01).all() and (views.crops[..., 2:] > 0).all()
    if not bool(inside):
        raise _wrong(where, "crops leave the image", "parts of its height and width")
    if views.boxes is not None:
        low, high = views.boxes[..., :2], views.boxes[..., 2:]
        if not bool(((low >= 0) & (low <= high) & (high <= torch.tensor(size))).all()):
            raise _wrong(where, "boxes leave the image", f"inside of {tuple(size)} pixels")
    if views.partners is not None:
        sizes = torch.tensor(views.batches).repeat_interleave(torch.tensor(views.batches))
        if not bool(((views.partners >= 0) & (views.partners < sizes)).all()):
            raise _wrong(where, "partners are not of the batch", "rows of the same batch")


def _warn_if_foreign(views: StoredViews, labels: Int[torch.Tensor, " n"], where: object) -> None:
    """Warns where a teacher's first guesses tell that stored labels are those of other images.

    Nothing in the released files says which image a label belongs to. The first epoch is left out
    of several: with a right seed and a wrong way to go on with it, that one fits.
    """
    later = slice(1 if len(views.rows) > 1 else 0, None)
    own = labels[views.rows]  # e n
    other = own
    if views.partners is not None:
        starts = torch.tensor([0, *views.batches[:-1]]).cumsum(0)
        starts = starts.repeat_interleave(torch.tensor(views.batches))
        other = own.gather(1, views.partners + starts)
    share, chance, deviation = measure_agreement(
        views.logits[later].argmax(2).flatten(), own[later].flatten(), other[later].flatten()
    )
    unclear = _SURE * deviation > _DECIDES or chance > 1 - _DECIDES
    if unclear or share > chance + _SURE * deviation:
        return
    warnings.warn(
        f"{where}: the first guess of its stored labels is the class of the image, or of the one "
        f"mixed in, for {100 * share:.0f} % of views; {100 * chance:.0f} % by chance. They seem to "
        "belong to other images, or were made under another order of images or another seed",
        DDBenchWarning,
        stacklevel=2,
    )


def measure_agreement(
    guesses: Int[torch.Tensor, " v"], own: Int[torch.Tensor, " v"], other: Int[torch.Tensor, " v"]
) -> tuple[float, float, float]:
    """Measures how often a guess is one of the two classes that a view shows.

    Returns:
        The part of views for which it is; the part expected of the same guesses for other views;
        the standard deviation of that under independence.
    """
    classes = int(torch.stack([guesses, own, other]).max()) + 1
    share = ((guesses == own) | (guesses == other)).double().mean().item()
    shown = torch.bincount(own, minlength=classes)
    shown = shown + torch.bincount(other[other != own], minlength=classes)  # views with the class
    chance = (shown.double()[guesses] / len(own)).mean().item()
    return share, chance, math.sqrt(chance * (1 - chance) / len(own)) if chance < 1 else 0.0


def _wrong(where: object, fault: str, expected: str) -> DDBenchError:
    return DDBenchError(
        f"{where}: of the stored labels, {fault}",
        f"expected: {expected}",
        hint="the labels belong to another set, or are damaged; leave them out",
    )
