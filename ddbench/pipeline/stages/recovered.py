"""Checks what a distiller returned, and turns it into what is stored."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench.api.distiller import Distiller
from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.pipeline.stages.problem import RecoverProblem


def keep(distiller: Distiller, recovered: Tensor, problem: RecoverProblem) -> Tensor:
    """Returns a group as it is stored: rows, floating pixels or bytes."""
    if distiller.makes == "indices":
        return recovered.cpu()
    if distiller.exact:
        return unnormalise(recovered, problem).cpu().contiguous()
    return quantise(recovered, problem)


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


def check_recovered(
    distiller: Distiller, recovered: Any, problem: RecoverProblem, group: Int[Tensor, " b"]
) -> None:
    """Checks what a distiller's `recover` returned for a group of images.

    Raises:
        DDBenchError: not one image or index for each image of the group.
        DivergedError: pixels are not finite.
    """
    check = _check_pixels if distiller.makes == "pixels" else _check_indices
    check(type(distiller).__name__, recovered, problem, group)


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
