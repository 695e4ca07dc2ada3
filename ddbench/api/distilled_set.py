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
"""Kinds of images: uint8 0..255; floats with black 0 and white 1; floats less a mean, over a
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
    """Weights of the images within their class; None where the layout has none: equal ones."""
    mean: tuple[float, ...] = ()
    """Mean of "normalised" pixels, by channel; () for that of the data set."""
    std: tuple[float, ...] = ()
    soft_labels: Float[torch.Tensor, "n k"] | None = None
    """One learned or stored label an image: probabilities, or logits."""
    rate: float | None = None
    """The learned step size: the rate at which students are meant to learn from the images."""
    views: StoredViews | None = None
    """A teacher's logits for augmented views; `labels` of the card names the labeller whose loss
    students have on them."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the layout says: dataset, classes, method, student, teacher, labels, protocol,
    ipc. All of it may be missing."""

    def weights_or_equal(self) -> Float[torch.Tensor, " n"]:
        """Returns the weights, equal ones where there are none; those of a class sum to 1."""
        if self.weights is not None:
            return self.weights
        return 1.0 / torch.bincount(self.labels)[self.labels].float()

    def sort_by_class(self) -> PortableSet:
        """Returns the same set with its images in the order of their classes."""
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


def check_set(distilled: PortableSet, where: object) -> PortableSet:
    """Checks that the tensors and the card of a set fit each other; returns the set.

    Args:
        distilled: What a format read, or what it is asked to write.
        where: Name of the set in errors.

    Raises:
        DDBenchError: a wrong shape or kind of numbers, or one that is not finite.
    """
    images, labels = distilled.images, distilled.labels
    if distilled.pixels not in SAYS:
        raise _fault(where, f"unknown kind of pixels '{distilled.pixels}'", ", ".join(SAYS))
    if images.dim() != 4 or not images.numel():
        raise _wrong(where, "images", images, "n c h w, none of them 0")
    kind = torch.uint8 if distilled.pixels == "bytes" else torch.float32
    if images.dtype != kind:
        raise _wrong(where, "images", images, str(kind).removeprefix("torch."))
    count = len(images)
    if labels.dtype != torch.int64 or labels.shape != (count,) or int(labels.min()) < 0:
        raise _wrong(where, "labels", labels, f"{count} class indices, int64, 0 or more")
    soft, weights = distilled.soft_labels, distilled.weights
    if soft is not None:
        fits = soft.dim() == 2 and len(soft) == count and soft.shape[1] > int(labels.max())
        if not fits or not soft.dtype.is_floating_point:
            raise _wrong(where, "soft labels", soft, f"{count} rows, one float a class")
    if weights is not None and (weights.shape != (count,) or weights.dtype != torch.float32):
        raise _wrong(where, "weights", weights, f"{count} numbers, float32, one an image")
    if weights is not None and bool((weights < 0).any()):
        raise DDBenchError(f"{where}: weights must be 0 or more", hint="write the set again")
    _check_finite(distilled, where)
    _check_card(distilled, where)
    if distilled.rate is not None and not (math.isfinite(distilled.rate) and distilled.rate > 0):
        raise _fault(where, f"the learned step size is {distilled.rate}", "above 0", "leave it out")
    if distilled.views is not None:
        check_views(distilled.views, labels, images.shape[2:], where)
    return distilled


_TEXTS = ("dataset", "method", "title", "variant", "student", "teacher", "labels", "protocol")
"""Fields of a card that are text where they are there."""


def _check_card(distilled: PortableSet, where: object) -> None:
    _check_fields(distilled.card, where)
    channels, classes = distilled.images.shape[1], distilled.card.get("classes")
    for name in ("mean", "std"):
        values = getattr(distilled, name)
        good = all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
        if values and (len(values) != channels or not good or (name == "std" and min(values) <= 0)):
            raise _fault(where, f"its {name} is {values}", f"{channels} numbers, one a channel")
    if classes is not None and not _are_names(classes, distilled):
        problem = f"labels up to {int(distilled.labels.max())} do not fit its classes"
        raise _fault(where, problem, f"the names of all classes, found {classes!r:.80}")


def _check_fields(card: Mapping[str, Any], where: object) -> None:
    """Checks that fields of a card have the types that a run needs; others are null or absent."""
    for name in (*_TEXTS, "profile"):
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
    problem = f"the card is malformed: its {name} is {card[name]!r:.60}"
    return _fault(where, problem, expected, "mend the card, or export the run again")


def _are_names(classes: object, distilled: PortableSet) -> bool:
    if not isinstance(classes, list) or len(classes) <= int(distilled.labels.max()):
        return False
    return all(isinstance(name, str) for name in classes)


def _check_finite(distilled: PortableSet, where: object) -> None:
    views = distilled.views.tensors() if distilled.views is not None else {}
    named = {"images": distilled.images, "weights": distilled.weights}
    for name, tensor in {**named, "soft labels": distilled.soft_labels, **views}.items():
        if tensor is not None and (bad := int((~torch.isfinite(tensor)).sum())):
            problem = f"{bad} of {tensor.numel()} numbers of the {name} are not finite"
            hint = "did the distillation diverge? take an earlier file"
            raise _fault(where, problem, "no NaN and no infinity", hint)


def _wrong(where: object, name: str, tensor: torch.Tensor, expected: str) -> DDBenchError:
    kind = str(tensor.dtype).removeprefix("torch.")
    problem = f"the {name} are {kind} of shape {tuple(tensor.shape)}"
    return _fault(where, problem, expected, "is the file of this format? `ddbench list formats`")


def _fault(
    where: object, problem: str, expected: str, hint: str = "write the set again"
) -> DDBenchError:
    return DDBenchError(f"{where}: {problem}", f"expected: {expected}", hint=hint)


# -- what a foreign layout has no place for --------------------------------------------------------

REMOVE = "remove it to read the set without"


def write_sidecar(distilled: PortableSet, written: Shaped[torch.Tensor, "n c h w"]) -> str:
    """Writes all of a set but its tensors of images and soft labels as JSON text.

    Layouts of others keep it beside (or inside) what they hold, so that a set comes back exact.

    Args:
        distilled: The set.
        written: Its images as the layout holds them.
    """
    weights = None if distilled.weights is None else distilled.weights.tolist()
    return json.dumps(
        {
            "images_sha256": hash_tensor(written),
            "written": distilled.pixels if written is distilled.images else "normalised",
            "labels": distilled.labels.tolist(),
            "weights": weights,
            "pixels": distilled.pixels,
            "mean": list(distilled.mean),
            "std": list(distilled.std),
            "rate": distilled.rate,
            "card": dict(distilled.card),
        },
        indent=1,
        sort_keys=True,
    )


def apply_sidecar(distilled: PortableSet, text: str, where: object) -> PortableSet:
    """Adds to what a layout gave what its sidecar says.

    Raises:
        DDBenchError: the sidecar cannot be read, or is that of other images.
    """
    try:
        sidecar = json.loads(text)
        labels = torch.tensor(sidecar["labels"], dtype=torch.int64)
        weights = None if sidecar["weights"] is None else torch.tensor(sidecar["weights"])
        images, pixels, rate = distilled.images, sidecar["pixels"], sidecar["rate"]
        mean, std = (tuple(map(float, sidecar[name])) for name in ("mean", "std"))
        rate = distilled.rate if rate is None or distilled.rate is not None else float(rate)
        card = {**distilled.card, **sidecar["card"]}
        same = sidecar["images_sha256"] == hash_tensor(images)
        if same and sidecar["written"] != pixels:
            images = to_unit(images, mean, std)
            if pixels == "bytes":
                images = (images * 255).round().clamp(0, 255).to(torch.uint8)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as fault:
        problem = f"{where} cannot be read: {type(fault).__name__}"
        raise DDBenchError(problem, "expected: JSON as ddbench writes it", hint=REMOVE) from fault
    kept = distilled.soft_labels is not None or torch.equal(labels, distilled.labels)
    if not same or len(labels) != len(images) or not kept:
        other = "images" if not same else "labels"
        problem = f"{where} belongs to other {other}"
        raise DDBenchError(problem, "they were changed after it was written", hint=REMOVE)
    return replace(
        distilled,
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
    """Returns the sha-256 of a tensor's kind, shape and bytes."""
    head = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    solid = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(head + solid.numpy().tobytes()).hexdigest()


# -- between spaces of pixels ----------------------------------------------------------------------


def to_unit(
    images: Float[torch.Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[torch.Tensor, "n c h w"]:
    """Converts normalised floats to floats with black 0 and white 1: x σ + μ, rounded once."""
    double = images.double() * _channels(std) + _channels(mean)
    return double.float()


def to_normalised(
    images: Shaped[torch.Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[torch.Tensor, "n c h w"]:
    """Converts bytes, or floats with white 1, to normalised floats: (x − μ) / σ, rounded once."""
    scale = 255 if images.dtype == torch.uint8 else 1
    return ((images.double() / scale - _channels(mean)) / _channels(std)).float()


def _channels(values: tuple[float, ...]) -> Float[torch.Tensor, "1 c 1 1"]:
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
