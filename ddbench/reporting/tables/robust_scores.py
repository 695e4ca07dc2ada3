"""DD-Ranking's label-robust and augmentation-robust scores, on fractions."""

from __future__ import annotations

import math

SOURCE = "Li et al., DD-Ranking, 2025, arXiv:2505.13300"
WEIGHT = 0.5
"""Of the gain over random images; DD-Ranking's own choice."""


def label_robust(
    *, full_hard: float, made_hard: float, made_any: float, random_any: float,
    weight: float = WEIGHT,
) -> float:  # fmt: skip
    """LRS = (e^α − e⁻¹) / (e − e⁻¹) with α = w·IOR − (1 − w)·HLR, in [0, 1].

    HLR = full_hard − made_hard is what hard labels lose against the whole data set,
    IOR = made_any − random_any what the images gain over random ones under the same labels.

    Args:
        full_hard: Accuracy, from 0 to 1, of all real images under hard labels.
        made_hard: Of the distilled images under hard labels.
        made_any: Of the distilled images under the labels that are judged.
        random_any: Of random images, as many, under these labels.
        weight: w, from 0 to 1.

    Raises:
        ValueError: an accuracy or the weight is not in [0, 1]: percents, say.
    """
    _check(full_hard, made_hard, made_any, random_any, weight)
    return _from_0_to_1(weight * (made_any - random_any) - (1 - weight) * (full_hard - made_hard))


def augmentation_robust(
    *, made_augmented: float, random_augmented: float, made_plain: float, random_plain: float,
    weight: float = WEIGHT,
) -> float:  # fmt: skip
    """ARS, of the same form with β = γ·(gain with augmentation) + (1 − γ)·(gain without).

    Args:
        made_augmented: Accuracy, from 0 to 1, of the distilled images with augmentation.
        random_augmented: Of random images, as many, with augmentation.
        made_plain: Of the distilled images without augmentation.
        random_plain: Of random images without augmentation.
        weight: γ, from 0 to 1.

    Raises:
        ValueError: an accuracy or the weight is not in [0, 1].
    """
    _check(made_augmented, random_augmented, made_plain, random_plain, weight)
    gains = made_augmented - random_augmented, made_plain - random_plain
    return _from_0_to_1(weight * gains[0] + (1 - weight) * gains[1])


def _from_0_to_1(balance: float) -> float:
    """(e^a − e⁻¹) / (e − e⁻¹) = (e^(a + 1) − 1) / (e² − 1): 0 at −1, 0.269 at 0, 1 at 1."""
    exact = max(-1.0, min(1.0, balance))  # rounding may step over the border
    return math.expm1(exact + 1) / math.expm1(2)


def _check(*fractions: float) -> None:
    for value in fractions:
        if not 0 <= value <= 1:
            raise ValueError(f"{value:g} is not a fraction from 0 to 1")
