"""A base for matchers that draw every image to an atom of its own, and tools to find the atoms."""

from __future__ import annotations

import functools
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Matcher, Target
from ddbench.api.types import Atoms, Network, Step, Tap
from ddbench_plugins.distances.transport import Cloud, solve_transport_from_guess

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Norm: TypeAlias = Literal["squared", "l2"]
WeightFloor: TypeAlias = Annotated[float, Interval(gt=0, le=1)]
"""Smallest weight of an atom, as a part of 1/m."""


class FeatureTarget(Target):
    """Finds atoms for the features of a class."""

    layer: str = ""
    """Module whose output, averaged over positions, is matched; "" for the classifier's input."""

    @property
    def statistic(self) -> Features:
        return Features(layer=self.layer)


class AtomMatcher(Matcher):
    """Pulls every image towards an atom of its own; subclasses have a `target` that finds these."""

    norm: Norm = "squared"
    """"squared": a sum of squares. "l2": one unsquared norm over the batch."""

    @property
    @abstractmethod
    def target(self) -> FeatureTarget:
        """Finds the atoms."""

    @property
    def separable(self) -> bool:
        return self.norm == "squared"

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network, self.target.layer),)

    def loss(self, step: Step) -> Float[torch.Tensor, ""]:
        """Returns the distance of every image's feature to its atom.

        squared: L = Σ_j ‖f(x_j) − b_j‖²    l2: L = ‖F − B‖_F = (Σ_j ‖f(x_j) − b_j‖²)^½

        Args:
            step: `atoms` holds b, one row per image.

        Returns:
            Scalar ≥ 0; its gradient is finite at 0 as well.

        Differences:
            `squared` is the paper's Eq. 12, a sum over the batch; `l2` is the released code's, one
            unsquared norm over the whole batch, whose pull on each image falls with its size.

        References:
            Liu et al., Dataset Distillation via the Wasserstein Metric, arXiv:2311.18531, Eq. 12.
        """
        assert step.atoms is not None, "the targets stage runs before"
        return atom_loss(read_features(step, self.target.layer), step.atoms, self.norm)


def atom_loss(
    features: Float[torch.Tensor, "b d"], atoms: Float[torch.Tensor, "b d"], norm: Norm
) -> Float[torch.Tensor, ""]:
    """Returns Σ ‖f − b‖² ("squared") or its root ("l2")."""
    gap = features - atoms.to(features)
    return gap.square().sum() if norm == "squared" else torch.linalg.vector_norm(gap)


def read_features(step: Step, layer: str) -> Float[torch.Tensor, "b d"]:
    """Returns features of the step's images at a layer; "" for the classifier's input."""
    return step.acts.taps[feature_tap(step.network, layer)]["features"]


def check_features(features: Float[torch.Tensor, "n d"], count: int) -> Float[torch.Tensor, "n d"]:
    """Checks the features of a class, and returns them in float64 on the CPU.

    Raises:
        DDBenchError: there are fewer of them than atoms, or they are not finite.
    """
    if not 1 <= count <= len(features):
        raise DDBenchError(
            f"{count} images of a class that has {len(features)}",
            f"expected: 1 to {len(features)}, so that every atom stands for its own real images",
            hint=f"--ipc {len(features)} or less",
        )
    wide = features.detach().cpu().double()
    # A sum that is finite says so of every term, five times as fast.
    if not wide.sum().isfinite() and not wide.isfinite().all():
        raise DDBenchError(
            "features of the real images are not finite",
            hint="check the teacher, or run it in fp32",
        )
    return wide


def draw_start(
    features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
) -> Float[torch.Tensor, "m d"]:
    """Draws the features of `count` different images."""
    return features[torch.randperm(len(features), generator=rng)[:count]]


def draw_seed(rng: torch.Generator) -> int:
    """Draws a seed for scikit-learn."""
    return int(torch.randint(2**31 - 1, (), generator=rng))


def project_to_simplex(
    point: Float[np.ndarray, " m"], smallest: float = 0.0
) -> Float[np.ndarray, " m"]:
    """Returns the nearest weights that sum to 1, none below `smallest`.

    argmin_w ‖w − p‖² with Σ w_j = 1, w_j ≥ s: w = s + max(p − τ, 0), where τ makes the sum 1.

    Args:
        point: p, any vector.
        smallest: s, at most 1/m.
    """
    free = 1 - smallest * len(point)
    falling = np.sort(point)[::-1]
    shifts = (falling.cumsum() - free) / np.arange(1, len(point) + 1)
    kept = np.flatnonzero(falling - shifts >= 0)[-1]
    return smallest + np.maximum(point - shifts[kept], 0)


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters that Lloyd's algorithm ends with."""

    centres: Float[np.ndarray, "m d"]
    shares: Float[np.ndarray, " m"]
    """Part of the points in each cluster."""
    value: float
    """Mean squared distance of the points to their centres."""


def cluster(
    features: Float[torch.Tensor, "n d"],
    count: int,
    seed: int,
    *,
    restarts: int = 1,
    start: Float[np.ndarray, "m d"] | None = None,
) -> Clusters:
    """Runs k-means from given centres, or takes the best of some k-means++ starts.

    min_b 1/n Σ_i min_j ‖z_i − b_j‖²: the least W₂² that `count` atoms of free weights can have.
    One thread, because the order in which threads add up would show in the last digits.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    init = "k-means++" if start is None else start
    kmeans = KMeans(count, init=init, n_init=restarts if start is None else 1, tol=0)
    kmeans.set_params(random_state=seed)
    with _threads().limit(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than atoms
        kmeans.fit(features.numpy())
    shares = np.bincount(kmeans.labels_, minlength=count) / len(features)
    return Clusters(kmeans.cluster_centers_, shares, float(kmeans.inertia_) / len(features))


@functools.cache
def _threads() -> ThreadpoolController:
    """Lists the loaded libraries, which takes longer than a small k-means."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def make_atoms(
    points: Float[torch.Tensor, "m d"],
    weights: Float[torch.Tensor, " m"],
    features: Cloud,
    like: Float[torch.Tensor, "n d"],
    *,
    guess: Float[np.ndarray, " m"] | None = None,
    **figures: float,
) -> Atoms:
    """Returns atoms with a report of how good they are.

    Args:
        points: Positions, in float64.
        weights: Their weights, in float64.
        features: Features of the class, in float64.
        like: Gives dtype and device of the result.
        guess: Potentials of a similar transport, which make it faster; the result is the same.
        figures: Further entries of the report.

    Returns:
        Atoms whose `report` has `objective`, W₂² between them and the features; `kmeans_bound`,
        what k-means reaches that starts from the atoms, for no W₂² of as many atoms is below the
        best k-means; and `gap`, the difference, at least 0 up to rounding.
    """
    cost = features.squared_distances(points).numpy()
    objective = solve_transport_from_guess(weights.numpy(), cost, guess).value
    bound = cluster(features.given, len(points), seed=0, start=points.numpy()).value
    report = {"objective": objective, "kmeans_bound": bound, "gap": objective - bound, **figures}
    dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
    return Atoms(points.to(like.device, dtype), weights.to(like.device, dtype), report)
