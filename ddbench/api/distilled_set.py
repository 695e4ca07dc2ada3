"""A distilled set as it is handed from one program to another: tensors, and what they are."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float, Int, Shaped

from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews, check_views

Pixels: TypeAlias = Literal["bytes", "unit", "normalised", "whitened", "unknown"]
"""What images are: uint8 0..255; floats with black 0 and white 1; floats less a mean, over a
deviation; ZCA-whitened floats; floats of which nobody said what they are."""
SAYS: Mapping[str, str] = {
    "bytes": "uint8 0..255, channels first, unnormalised",
    "unit": "float32, white 1, unclamped, channels first, unnormalised",
    "normalised": "float32, (pixel / 255 - mean) / std, channels first",
    "whitened": "float32, ZCA-whitened, channels first",
    "unknown": "float32, channels first; nobody said whether normalised or whitened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortableSet:
    """Images, labels and all that belongs to them, in the space in which they were found."""

    images: Shaped[torch.Tensor, "n c h w"]
    """uint8 where `pixels` is "bytes", else float32."""
    labels: Int[torch.Tensor, " n"]
    """Class indices."""
    pixels: Pixels
    weights: Float[torch.Tensor, " n"] | None = None
    """Of the images within their class; None where the layout has none: equal ones."""
    mean: tuple[float, ...] = ()
    """Of "normalised" pixels, by channel; () for that of the data set."""
    std: tuple[float, ...] = ()
    soft_labels: Float[torch.Tensor, "n k"] | None = None
    """One learned or stored label an image: probabilities, or logits."""
    rate: float | None = None
    """The learned step size: the rate at which students are meant to learn from the images."""
    views: StoredViews | None = None
    """What a teacher said of augmented views; `labels` of the card names the labeller as which
    students are told of it."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """What the layout says besides: dataset, classes, method, student, teacher, labels, protocol,
    ipc. All of it may be missing."""

    def weights_or_equal(self) -> Float[torch.Tensor, " n"]:
        """The weights, equal ones where there are none; those of a class sum to 1."""
        if self.weights is not None:
            return self.weights
        return 1.0 / torch.bincount(self.labels)[self.labels].float()

    def by_class(self) -> PortableSet:
        """The same set with its images in the order of their classes."""
        order = torch.argsort(self.labels, stable=True)
        if torch.equal(order, torch.arange(len(order))):
            return self
        views = self.views
        if views is not None:
            views = replace(views, rows=order.argsort()[views.rows])
        return replace(
            self,
            images=self.images[order],
            labels=self.labels[order],
            weights=None if self.weights is None else self.weights[order],
            soft_labels=None if self.soft_labels is None else self.soft_labels[order],
            views=views,
        )


def check_set(found: PortableSet, where: object) -> PortableSet:
    """A set whose tensors fit each other; the same one.

    Args:
        found: What a format read, or what it is asked to write.
        where: How an error calls it.

    Raises:
        DDBenchError: a wrong shape or kind of numbers, or one that is not finite.
    """
    images, labels = found.images, found.labels
    if found.pixels not in SAYS:
        raise DDBenchError(
            f"{where}: unknown kind of pixels '{found.pixels}'",
            f"known: {', '.join(SAYS)}",
            hint="write the set again",
        )
    if images.dim() != 4 or not images.numel():
        raise _wrong(where, "images", images, "n c h w, none of them 0")
    kind = torch.uint8 if found.pixels == "bytes" else torch.float32
    if images.dtype != kind:
        raise _wrong(where, "images", images, str(kind).removeprefix("torch."))
    count = len(images)
    if labels.dtype != torch.int64 or labels.shape != (count,) or int(labels.min()) < 0:
        raise _wrong(where, "labels", labels, f"{count} class indices, int64, 0 or more")
    soft, weights = found.soft_labels, found.weights
    if soft is not None:
        fits = soft.dim() == 2 and len(soft) == count and soft.shape[1] > int(labels.max())
        if not fits or not soft.dtype.is_floating_point:
            raise _wrong(where, "soft labels", soft, f"{count} rows, one float a class")
    if weights is not None and (weights.shape != (count,) or weights.dtype != torch.float32):
        raise _wrong(where, "weights", weights, f"{count} numbers, float32, one an image")
    if weights is not None and bool((weights < 0).any()):
        raise DDBenchError(f"{where}: weights must be 0 or more", hint="write the set again")
    _check_finite(found, where)
    _check_card(found, where)
    if found.rate is not None and not (math.isfinite(found.rate) and found.rate > 0):
        raise DDBenchError(
            f"{where}: the learned step size is {found.rate}",
            "expected: above 0",
            hint="leave it out",
        )
    if found.views is not None:
        check_views(found.views, labels, images.shape[2:], where)
    return found


_TEXTS = (
    "dataset",
    "method",
    "title",
    "variant",
    "student",
    "teacher",
    "labels",
    "protocol",
    "profile",
)
"""Fields of a card that are text where they are there."""


def _check_card(found: PortableSet, where: object) -> None:
    _check_fields(found.card, where)
    channels, classes = found.images.shape[1], found.card.get("classes")
    for name in ("mean", "std"):
        values = getattr(found, name)
        good = all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
        if values and (len(values) != channels or not good or (name == "std" and min(values) <= 0)):
            raise DDBenchError(
                f"{where}: its {name} is {values}",
                f"expected: {channels} numbers, one a channel",
                hint="write the set again",
            )
    if classes is not None and (not isinstance(classes, list) or not _named(classes, found)):
        raise DDBenchError(
            f"{where}: labels up to {int(found.labels.max())} do not fit its classes",
            f"expected: the names of all classes, found {classes!r:.80}",
            hint="write the set again",
        )


def _check_fields(card: Mapping[str, Any], where: object) -> None:
    """What a card says has the types that a run needs; what it leaves unsaid is null or absent."""
    for name in _TEXTS:
        if not isinstance(card.get(name), str | None):
            raise _malformed(where, card, name, "text")
    for name in ("seed", "ipc"):
        value = card.get(name, 0)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not whole and not (name == "ipc" and value is None):
            raise _malformed(where, card, name, "a whole number, 0 or more")
    zca = card.get("zca", 0)
    if isinstance(zca, bool) or not isinstance(zca, int | float) or not math.isfinite(zca):
        raise _malformed(where, card, "zca", "a number")
    given = card.get("given", {})
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise _malformed(where, card, "given", "a table of texts, by option")


def _malformed(where: object, card: Mapping[str, Any], name: str, expected: str) -> DDBenchError:
    return DDBenchError(
        f"{where}: the card is malformed: its {name} is {card[name]!r:.60}",
        f"expected: {expected}",
        hint="mend the card, or export the run again",
    )


def _named(classes: list[Any], found: PortableSet) -> bool:
    return len(classes) > int(found.labels.max()) and all(isinstance(c, str) for c in classes)


def _check_finite(found: PortableSet, where: object) -> None:
    views = found.views.tensors() if found.views is not None else {}
    named = {"images": found.images, "weights": found.weights, "soft labels": found.soft_labels}
    for name, tensor in {**named, **views}.items():
        if tensor is None or not tensor.dtype.is_floating_point:
            continue
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise DDBenchError(
                f"{where}: {bad} of {tensor.numel()} numbers of the {name} are not finite",
                "expected: no NaN and no infinity",
                hint="did the distillation diverge? take an earlier file",
            )


def _wrong(where: object, name: str, tensor: torch.Tensor, expected: str) -> DDBenchError:
    kind = str(tensor.dtype).removeprefix("torch.")
    return DDBenchError(
        f"{where}: the {name.replace('_', ' ')} are {kind} of shape {tuple(tensor.shape)}",
        f"expected: {expected}",
        hint="is the file of this format? `ddbench list formats`",
    )


# -- what a foreign layout has no place for --------------------------------------------------------


def write_sidecar(found: PortableSet, written: Shaped[torch.Tensor, "n c h w"]) -> str:
    """JSON text with all of a set but its tensors of images and soft labels.

    Layouts of others keep it beside (or inside) what they hold, so that a set comes back exact.

    Args:
        found: The set.
        written: Its images as the layout holds them.
    """
    weights = None if found.weights is None else found.weights.tolist()
    return json.dumps(
        {
            "images_sha256": hash_tensor(written),
            "written": found.pixels if written is found.images else "normalised",
            "labels": found.labels.tolist(),
            "weights": weights,
            "pixels": found.pixels,
            "mean": list(found.mean),
            "std": list(found.std),
            "rate": found.rate,
            "card": dict(found.card),
        },
        indent=1,
        sort_keys=True,
    )


def apply_sidecar(found: PortableSet, text: str, where: object) -> PortableSet:
    """What a layout gave, and what its sidecar adds.

    Raises:
        DDBenchError: the sidecar cannot be read, or is that of other images.
    """
    try:
        told = json.loads(text)
        labels = torch.tensor(told["labels"], dtype=torch.int64)
        weights = None if told["weights"] is None else torch.tensor(told["weights"])
        images, pixels, rate = found.images, told["pixels"], told["rate"]
        mean, std = (tuple(map(float, told[name])) for name in ("mean", "std"))
        rate = found.rate if rate is None or found.rate is not None else float(rate)
        card = {**found.card, **told["card"]}
        same = told["images_sha256"] == hash_tensor(images)
        if same and told["written"] != pixels:
            images = to_unit(images, mean, std)
            if pixels == "bytes":
                images = (images * 255).round().clamp(0, 255).to(torch.uint8)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as fault:
        raise DDBenchError(
            f"{where} cannot be read: {type(fault).__name__}",
            "expected: JSON as ddbench writes it",
            hint="remove it to read the set without",
        ) from fault
    kept = found.soft_labels is not None or torch.equal(labels, found.labels)
    if not same or len(labels) != len(images) or not kept:
        other = "images" if not same else "labels"
        raise DDBenchError(
            f"{where} belongs to other {other}",
            "they were changed after it was written",
            hint="remove it to read the set without",
        )
    return replace(
        found,
        images=images,
        labels=labels,
        weights=weights,
        pixels=pixels,
        mean=mean,
        std=std,
        rate=rate,
        card=card,
    )


def hash_tensor(tensor: torch.Tensor) -> str:
    """sha-256 of a tensor's kind, shape and bytes."""
    head = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    solid = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(head + solid.numpy().tobytes()).hexdigest()


# -- between spaces of pixels ----------------------------------------------------------------------


def to_unit(
    images: Float[torch.Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[torch.Tensor, "n c h w"]:
    """Normalised floats as floats with black 0 and white 1: x σ + μ, rounded once."""
    double = images.double() * _channels(std) + _channels(mean)
    return double.float()


def to_normalised(
    images: Shaped[torch.Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[torch.Tensor, "n c h w"]:
    """Bytes, or floats with white 1, as normalised floats: (x − μ) / σ, rounded once."""
    scale = 255 if images.dtype == torch.uint8 else 1
    return ((images.double() / scale - _channels(mean)) / _channels(std)).float()


def _channels(values: tuple[float, ...]) -> Float[torch.Tensor, "1 c 1 1"]:
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
