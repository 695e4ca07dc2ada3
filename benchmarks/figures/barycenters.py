"""Figure 1: the mean of three shapes under KL, MMD and Wasserstein.

A shape is a set of points, equally weighted, and a picture of them a distribution on a grid. The
barycenter is what has the least mean divergence to the shapes:

- KL, Σ KL(q_i ‖ p): the mean of the pictures, by Gibbs' inequality.
- MMD, Σ ‖ μ(q_i) − μ(p) ‖²: a quadratic in p, solved by mirror descent with a Gaussian kernel. The
  optimum is the mean of the pictures as well.
- Wasserstein: POT's barycenter of free support, as in WMDD, drawn as the shapes are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures.files import write_figure

Points = NDArray[np.float64]
"""Rows and columns of points, in a square of side 1: [n 2]."""
Picture = NDArray[np.float64]
"""Pixels [h w] that sum to 1."""

RINGS = ((0.28, 0.45, 0.12, 0.30), (0.66, 0.28, 0.26, 0.12), (0.60, 0.72, 0.19, 0.19))
"""Centre, and half of height and width, of a wide, a tall and a round ring."""
POINTS = 150
SIZE = 64
PEN = 0.015
"""Standard deviation of a point in a picture."""
BANDWIDTH = 0.05
"""Bandwidth of the kernel."""


def make_ring(y: float, x: float, tall: float, wide: float, count: int = POINTS) -> Points:
    """Makes an ellipse's outline: a circle of evenly spaced points, stretched along the axes."""
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([y + tall * np.sin(angle), x + wide * np.cos(angle)], axis=1)


def draw_points(points: Points, size: int = SIZE) -> Picture:
    """Draws points as a distribution over pixels, each a small Gaussian."""
    place = np.arange(size) / (size - 1)
    rows, columns = (np.exp(-0.5 * ((points[:, axis, None] - place) / PEN) ** 2) for axis in (0, 1))
    drawn = rows.T @ columns
    return drawn / drawn.sum()


def kl_barycenter(pictures: list[Picture]) -> Picture:
    """Computes the mean picture, the least Σ KL(q_i ‖ p)."""
    return np.mean(pictures, axis=0)


def mmd_barycenter(
    pictures: list[Picture], bandwidth: float = BANDWIDTH, iterations: int = 2000, rate: float = 50
) -> Picture:
    """Computes the least mean MMD² with a Gaussian kernel, by mirror descent from even pixels."""
    kernel = _make_kernel(len(pictures[0]), bandwidth)
    mean = np.mean(pictures, axis=0)
    found = np.full_like(mean, 1 / mean.size)
    scale = rate / (kernel @ kernel.T).max()
    for _ in range(iterations):
        # The slope of p ↦ mean_i ‖ μ(q_i) − μ(p) ‖² is 2 K (p − mean_i q_i).
        slope = 2 * kernel @ (found - mean) @ kernel
        found = found * np.exp(-scale * (slope - slope.min()))
        found /= found.sum()
    return found


def mean_mmd_squared(
    found: Picture, pictures: list[Picture], bandwidth: float = BANDWIDTH
) -> float:
    """Computes the mean of MMD²(found, q_i) over the pictures."""
    kernel = _make_kernel(len(found), bandwidth)
    gaps = [found - given for given in pictures]
    return float(np.mean([(gap * (kernel @ gap @ kernel)).sum() for gap in gaps]))


def _make_kernel(size: int, bandwidth: float) -> NDArray[np.float64]:
    """Makes one axis [h h] of the Gaussian kernel, a product over rows and columns."""
    place = np.arange(size) / (size - 1)
    return np.exp(-0.5 * ((place[:, None] - place) / bandwidth) ** 2)


def wasserstein_barycenter(shapes: list[Points]) -> Points:
    """Computes the least mean W₂², by exact transport to points that move."""
    import ot

    even = [np.full(len(shape), 1 / len(shape)) for shape in shapes]
    return np.asarray(ot.lp.free_support_barycenter(shapes, even, shapes[0].copy()))


def draw(folder: Path) -> list[Path]:
    """Writes `figure1.svg`, `.pdf` and `.png`; returns their paths."""
    from matplotlib import pyplot

    shapes = [make_ring(*place) for place in RINGS]
    given = [draw_points(shape) for shape in shapes]
    made = {
        "KL": kl_barycenter(given),
        "MMD": mmd_barycenter(given),
        "Wasserstein": draw_points(wasserstein_barycenter(shapes)),
    }
    figure, axes = pyplot.subplots(1, 6, figsize=(9, 1.9))
    titles = ["", "given", "", *made]
    for axis, title, shown in zip(axes, titles, [*given, *made.values()], strict=True):
        axis.imshow(shown, cmap="magma", interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    return write_figure(figure, folder, "figure1")
