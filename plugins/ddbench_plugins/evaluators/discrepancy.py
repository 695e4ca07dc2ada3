"""Distances of the distilled images of a class to its real ones, in the teacher's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float

from ddbench import hookimpl
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Evaluator
from ddbench.api.types import FeatureSample, Metric, Trial
from ddbench_plugins.distances.mmd import adaptive_bandwidth, rbf_mmd_squared
from ddbench_plugins.distances.sliced import draw_directions, sliced_wasserstein_squared
from ddbench_plugins.distances.transport import wasserstein_squared


class Discrepancy(Evaluator):
    """Squared distances between the features of real and distilled images, mean over classes.

    `w2` is W₂², exact; `sliced` its sliced form, smaller by about the dimension; `mmd` is the
    biased MMD² with five Gaussian kernels. Distilled images count with their weights, real ones
    equally.

    Differences:
        The kernels' bandwidth comes from the real features alone, and the directions from the
        seed alone, so that all methods are measured with one ruler.
    """

    needs = frozenset({"features"})
    metrics = (
        Metric("w2", higher_is_better=False),
        Metric("sliced", higher_is_better=False),
        Metric("mmd", higher_is_better=False),
    )

    projections: Annotated[int, Ge(1)] = 256
    """Directions of the sliced distance."""
    max_real: Annotated[int, Ge(0)] = 0
    """Real images of a class, drawn at random, that are compared to; 0 for all."""
    seed: int = 0
    """Seed of the directions and of the draw."""

    def evaluate(self, trial: Trial) -> Mapping[str, float]:
        """Returns `w2`, `sliced` and `mmd`.

        Raises:
            DDBenchError: a class has no distilled or no real image.
        """
        sample, rng = trial.features(), torch.Generator().manual_seed(self.seed)
        directions = draw_directions(sample.real.shape[1], self.projections, rng)
        classes = [
            self._measure_class(sample, cls, name, directions, rng)
            for cls, name in enumerate(trial.info.classes)
        ]
        means = torch.tensor(classes, dtype=torch.float64).mean(0).tolist()
        return {metric.name: value for metric, value in zip(self.metrics, means, strict=True)}

    def _measure_class(
        self,
        sample: FeatureSample,
        cls: int,
        name: str,
        directions: Float[torch.Tensor, "d l"],
        rng: torch.Generator,
    ) -> tuple[float, float, float]:
        real = sample.real[sample.real_labels == cls].cpu().double()
        if 0 < self.max_real < len(real):
            real = real[torch.randperm(len(real), generator=rng)[: self.max_real]]
        of_class = sample.distilled_labels == cls
        made = sample.distilled[of_class].cpu().double()
        weights = sample.distilled_weights[of_class].cpu().double()
        if not len(real) or not len(made):
            raise DDBenchError(
                f"class {cls}, '{name}', has {len(real)} real and {len(made)} distilled images",
                "discrepancy needs at least one of each",
                hint="leave the evaluator out: --evaluator accuracy",
            )
        return measure_discrepancies(made, weights, real, directions)


def measure_discrepancies(
    made: Float[torch.Tensor, "m d"],
    weights: Float[torch.Tensor, " m"],
    real: Float[torch.Tensor, "n d"],
    directions: Float[torch.Tensor, "d l"],
) -> tuple[float, float, float]:
    """Returns W₂², sliced W₂² and MMD² between weighted points and equally weighted ones."""
    bandwidth = adaptive_bandwidth(real, real[:0]) if len(real) > 1 else None
    return (
        wasserstein_squared(made, real, weights),
        float(sliced_wasserstein_squared(made, real, directions, weights)),
        float(rbf_mmd_squared(made, real, weights, bandwidth=bandwidth)),
    )


@hookimpl
def ddbench_evaluators() -> Mapping[str, Evaluator]:
    return {"discrepancy": Discrepancy()}
