"""Accuracy of a student on test images that were spoilt."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from jaxtyping import UInt8

from ddbench import hookimpl
from ddbench.api.errors import IncompatibleError
from ddbench.api.roles import Evaluator
from ddbench.api.types import Metric, Trial
from ddbench_plugins.evaluators.accuracy import count_hits

_CHUNK = 500
"""Images at a time. Part of what the noise is: it is drawn chunk by chunk."""
NAMES = ("noise", "blur", "contrast", "jpeg")


class Corruptions(Evaluator):
    """Top-1 on test images under Gaussian noise, Gaussian blur, low contrast and JPEG compression.

    Four of the corruptions of Hendrycks and Dietterich (ICLR 2019, arXiv:1903.12261), at one
    strength each, in the order of their middle one; `corrupted` is the mean. The spoilt images are
    the same for all students: stored as bytes, noise from a seed of its own.

    Differences:
        Not ImageNet-C: one strength instead of five, and blur by the image's width, so that 64 and
        224 pixels lose the same detail; on 8 pixels it is none.
    """

    needs = frozenset({"student"})
    metrics = (
        Metric("corrupted", "%"),
        *(Metric(f"corrupted_{name}", "%") for name in NAMES),
    )

    noise: Annotated[float, Ge(0)] = 0.15
    """Standard deviation, where pixels are in [0, 1]."""
    blur: Annotated[float, Gt(0)] = 0.015
    """Standard deviation, as a part of the image's width."""
    contrast: Annotated[float, Ge(0)] = 0.3
    """Part of the difference to the image's mean grey that is left."""
    quality: Annotated[int, Interval(ge=1, le=100)] = 20
    """Quality of the JPEG compression."""
    seed: int = 0
    """Seed of the noise."""

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns `corrupted` and, by kind, `corrupted_noise`, `_blur`, `_contrast`, `_jpeg`.

        Raises:
            IncompatibleError: images are neither grey nor in three colours.
        """
        if trial.info.shape[0] not in (1, 3):
            raise IncompatibleError(
                f"corruptions are for images of 1 or 3 channels, not of {trial.info.shape[0]}"
            )
        images, rng = trial.test_images(), torch.Generator().manual_seed(self.seed)
        right = dict.fromkeys(NAMES, 0)
        for some, labels in zip(images.split(_CHUNK), trial.labels.split(_CHUNK), strict=True):
            for name in NAMES:
                answers = trial.student(self.corrupt(some.cpu(), name, rng))
                right[name] += count_hits(answers, labels, 1)
        each = {f"corrupted_{name}": 100 * n / len(images) for name, n in right.items()}
        return {"corrupted": sum(each.values()) / len(each), **each}

    def corrupt(
        self, images: UInt8[torch.Tensor, "b c h w"], name: str, rng: torch.Generator
    ) -> UInt8[torch.Tensor, "b c h w"]:
        """Spoils images by one of `NAMES`."""
        from torchvision.transforms.v2 import functional

        if name == "noise":
            noisy = images / 255 + self.noise * torch.randn(images.shape, generator=rng)
            return (255 * noisy.clamp(0, 1)).round().to(torch.uint8)
        if name == "blur":
            sigma = self.blur * images.shape[-1]
            # Four standard deviations, but no more than can be mirrored at the border.
            width, height = images.shape[-1], images.shape[-2]
            kernel = [2 * min(math.ceil(4 * sigma), side - 1) + 1 for side in (width, height)]
            return functional.gaussian_blur(images, kernel, [sigma] * 2)
        if name == "contrast":
            return functional.adjust_contrast(images, self.contrast)
        return torch.stack([_compress(image, self.quality) for image in images])


def _compress(image: UInt8[torch.Tensor, "c h w"], quality: int) -> UInt8[torch.Tensor, "c h w"]:
    """Sends an image through JPEG and back, by Pillow: torchvision's own codecs are about to go."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    file = io.BytesIO()
    functional.to_pil_image(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as compressed:
        return functional.pil_to_tensor(compressed)


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"corruptions": Corruptions()}
