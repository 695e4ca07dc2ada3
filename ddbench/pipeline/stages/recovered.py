"""Checks what a distiller returned, and turns it into what is stored."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench.api.distiller import Distiller, Learned
from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.types import Tensors
from ddbench.pipeline.stages.problem import RecoverProblem
from ddbench.store.cache import GROUP

LEARNABLE: Mapping[str, str] = {"labels": "soft_labels", "rate": "rate"}
"""What a distiller may learn beside images, and the tensors that hold it."""


def names_kept(distiller: Distiller) -> set[str]:
    """Returns the names of the tensors that `keep` makes of each of a distiller's groups."""
    return {GROUP, *(LEARNABLE[each] for each in distiller.learns)}


def keep(distiller: Distiller, learned: Learned, problem: RecoverProblem) -> Tensors:
    """Returns a group as it is stored.

    Its images are rows, floating pixels or bytes; labels are float32, a rate is float64.
    """
    if distiller.makes == "indices":
        kept = {GROUP: learned.images.cpu()}
    elif distiller.exact:
        kept = {GROUP: unnormalise(learned.images, problem).cpu().contiguous()}
    else:
        kept = {GROUP: quantise(learned.images, problem)}
    if learned.labels is not None:
        kept[LEARNABLE["labels"]] = learned.labels.detach().float().cpu().contiguous()
    if learned.rate is not None:
        kept[LEARNABLE["rate"]] = torch.tensor(learned.rate, dtype=torch.float64)
    return kept


def quantise(images: Float[Tensor, "b c h w"], problem: RecoverProblem) -> Tensor:
    """Returns normalised images as bytes: clamped to [0, 1], rounded to 255 steps.

    Differences:
        The released codes truncate instead of rounding and then compress as JPEG.
    """
    levels = (unnormalise(images, problem).clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).cpu().contiguous()


def unnormalise(
    images: Float[Tensor, "b c h w"], problem: RecoverProblem
) -> Float[Tensor, "b c h w"]:
    """Returns the pixels of normalised images; those that an image can have are in [0, 1]."""
    mean = torch.tensor(problem.info.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(problem.info.std, device=images.device).view(1, -1, 1, 1)
    return images.detach().float() * std + mean


def check_learnable(distiller: Distiller, groups: int) -> None:
    """Checks what a distiller says that it learns, before it makes any image.

    Raises:
        DDBenchError: nothing that can be learned, or a rate by several groups.
    """
    name = type(distiller).__name__
    unknown = sorted(set(distiller.learns) - LEARNABLE.keys())
    if unknown:
        raise DDBenchError(
            f"{name}.learns names {', '.join(unknown)}",
            f"expected: a subset of {', '.join(LEARNABLE)}",
            hint=f"mend the distiller {name}",
        )
    if "rate" in distiller.learns and groups > 1:
        raise DDBenchError(
            f"{name} learns a rate and makes its images in {groups} groups",
            "students have one rate for all images",
            hint=f"return all images as one group from {name}.batches",
        )


def check_recovered(
    distiller: Distiller, recovered: Any, problem: RecoverProblem, group: Int[Tensor, " b"]
) -> Learned:
    """Checks what a distiller's `recover` returned for a group of images, and returns it.

    Raises:
        DDBenchError: not one image or index for each image of the group, or labels or a rate that
            are of a wrong form, missing, or not announced by `learns`.
        DivergedError: pixels, labels or the rate are not finite, or the rate is not above 0.
    """
    name = type(distiller).__name__
    check = _check_pixels if distiller.makes == "pixels" else _check_indices
    images = recovered.images if isinstance(recovered, Learned) else recovered
    check(name, images, problem, group)
    learned = recovered if isinstance(recovered, Learned) else Learned(images)
    check_learned(distiller, learned, len(group), problem.info.num_classes)
    return learned


def check_learned(distiller: Distiller, learned: Learned, rows: int, classes: int) -> None:
    """Checks the labels and the rate that a distiller returned with a group of images.

    Raises:
        DDBenchError: they are of a wrong form, missing, or not announced by `learns`.
        DivergedError: they are not finite, or the rate is not above 0.
    """
    name = type(distiller).__name__
    _check_announced(name, distiller.learns, learned)
    if learned.labels is not None:
        _check_labels(name, learned.labels, (rows, classes))
    if learned.rate is not None:
        _check_rate(name, learned.rate)


def _check_announced(name: str, learns: Collection[str], learned: Learned) -> None:
    words = {"labels": "learned labels", "rate": "a learned rate"}
    for each, word in words.items():
        given = getattr(learned, each) is not None
        if given and each not in learns:
            raise DDBenchError(
                f"{name}.recover returned {word}, which {name}.learns does not name",
                hint=f'learns: ClassVar[frozenset[str]] = frozenset({{"{each}"}})',
            )
        if each in learns and not given:
            raise DDBenchError(
                f"{name}.recover did not return {word}, which {name}.learns names",
                hint=f"return Learned(images, {each}=…)",
            )


def _check_labels(name: str, labels: Any, wanted: tuple[int, int]) -> None:
    right = isinstance(labels, Tensor) and labels.dtype.is_floating_point
    if not right or tuple(labels.shape) != wanted:
        raise DDBenchError(
            f"{name}.recover gave labels that are {_said(labels)}",
            f"expected: floating point {list(wanted)}, a row for each image of the group",
            hint=f"mend the distiller {name}; `ddbench check` shows more",
        )
    if not labels.isfinite().all():
        raise DivergedError(
            f"{name}.recover gave labels that are not finite",
            "expected: probabilities or logits, every one a number",
            hint="lower its learning rate, if it has one",
        )


def _check_rate(name: str, rate: Any) -> None:
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise DDBenchError(
            f"{name}.recover gave a rate that is {_said(rate)}",
            "expected: a float",
            hint=f"mend the distiller {name}: `rate.item()` is the number of a tensor",
        )
    if not (math.isfinite(rate) and rate > 0):
        raise DivergedError(
            f"{name}.recover learned the rate {rate:g}",
            "expected: a number above 0, at which students can be trained",
            hint="lower the rate at which it is learned",
        )


def _check_pixels(name: str, made: Any, problem: RecoverProblem, group: Int[Tensor, " b"]) -> None:
    wanted = (len(group), *problem.info.shape)
    right = isinstance(made, Tensor) and made.dtype.is_floating_point
    if not right or tuple(made.shape) != wanted:
        raise DDBenchError(
            f"{name}.recover gave {_said(made)}",
            f"expected: floating point {list(wanted)}, the normalised images of the group",
            hint=f"mend the distiller {name}; `ddbench check` shows more",
        )
    if not made.isfinite().all():
        raise DivergedError(
            f"{name}.recover gave images with pixels that are not finite",
            "expected: normalised images, every pixel a number",
            hint="lower its learning rate, if it has one",
        )


def _check_indices(name: str, made: Any, problem: RecoverProblem, group: Int[Tensor, " b"]) -> None:
    right = isinstance(made, Tensor) and made.dtype == torch.long
    if not right or tuple(made.shape) != (len(group),):
        raise DDBenchError(
            f"{name}.recover gave {_said(made)}",
            f"expected: int64 [{len(group)}], a row of the training set for each image",
            hint=f"mend the distiller {name}; `ddbench check` shows more",
        )
    rows, known = made.cpu(), problem.data.train_labels
    classes = problem.labels.cpu()[group]
    outside = (rows < 0) | (rows >= len(known))
    wrong = outside | (known[rows.masked_fill(outside, 0)] != classes)
    if wrong.any():
        first = int(wrong.nonzero()[0])
        row, cls = int(rows[first]), problem.info.classes[int(classes[first])]
        raise DDBenchError(
            f"{name}.recover chose row {row} of the training set for class {cls}",
            f"the rows of the class are among 0 to {len(known) - 1}, but this is none of them",
            hint="choose from problem.real_indices(cls)",
        )


def _said(made: Any) -> str:
    if not isinstance(made, Tensor):
        return f"a {type(made).__name__}"
    return f"{str(made.dtype).removeprefix('torch.')} {list(made.shape)}"
