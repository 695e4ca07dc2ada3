"""Distillers that choose real images by a teacher's features: herding, k-center, k-means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.roles import Statistic
from ddbench_plugins.distances.transport import squared_distances
from ddbench_plugins.distillers._per_class import ClassByClass
from ddbench_plugins.matchers._atoms import cluster, draw_seed


class FeatureSelection(ClassByClass):
    """Chooses the real images of each class by their features."""

    needs = frozenset({"teacher"})
    makes = "indices"

    layer: str = ""
    """Module whose output, averaged over positions, is compared; "" for the classifier's input."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Features(layer=self.layer),)

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Int[torch.Tensor, " b"]:
        """Returns different rows of the training set, in the order in which they were chosen.

        Raises:
            DDBenchError: the features of the real images are not finite.
        """
        cls = int(problem.labels[int(indices[0])])
        known = problem.known[Features(layer=self.layer)]
        features = known["features"][known["labels"] == cls].cpu().double()
        if not features.isfinite().all():
            raise DDBenchError(
                f"features of the real images of class {cls} are not finite",
                hint="check the teacher, or run it in fp32",
            )
        chosen = self.choose(features, len(indices), problem.rng("class", cls))
        problem.tick()
        return problem.real_indices(cls)[chosen]

    @abstractmethod
    def choose(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Int[torch.Tensor, " m"]:
        """Returns which `count` of the n features of a class, at most n, stand for it."""


class Herding(FeatureSelection):
    """Greedily the images whose mean feature stays near that of their class."""

    form: Literal["icarl", "welling"] = "icarl"
    """The rule by which the next image is chosen; the two choose different images."""

    def choose(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Int[torch.Tensor, " m"]:
        """Returns the first images in herding order, so that more images begin with fewer.

        icarl:    s_{t+1} = argmin_x ‖ μ − 1/(t+1) ( f(x) + Σ_{i≤t} f(s_i) ) ‖
        welling:  s_{t+1} = argmax_x ⟨w_t, f(x)⟩,  w_{t+1} = w_t + μ − f(s_{t+1}),  w_0 = μ

        over the images x that are not yet chosen; μ is the mean of the class.

        Args:
            features: f of all images of a class.
            count: m, at most n.
            rng: Not read; ties go to the first image.

        Differences:
            Welling's herding may take an image again; here it may not, so that m = n is the class.
            Features are not normalised, as iCaRL's are.

        References:
            Welling, Herding Dynamical Weights to Learn, ICML 2009. Rebuffi et al., iCaRL:
            Incremental Classifier and Representation Learning, CVPR 2017, Algorithm 4.
        """
        mean = features.mean(0)
        total, weight = torch.zeros_like(mean), mean.clone()
        free = torch.ones(len(features), dtype=torch.bool)
        chosen = []
        for step in range(count):
            if self.form == "icarl":
                score = -(mean - (features + total) / (step + 1)).square().sum(1)  # n
            else:
                score = features @ weight  # n
            best = int(score.where(free, -torch.inf).argmax())
            free[best] = False
            total += features[best]
            weight += mean - features[best]
            chosen.append(best)
        return torch.tensor(chosen)


class KCenter(FeatureSelection):
    """Farthest first: each image is the one that is worst covered by those before."""

    start: Literal["mean", "random"] = "mean"
    """The first image: the one nearest to the mean of the class, or any."""

    def choose(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Int[torch.Tensor, " m"]:
        """Returns greedy centres, so that more images begin with fewer.

        s_{t+1} = argmax_x min_{i≤t} ‖f(x) − f(s_i)‖

        The largest distance of an image to its nearest centre is at most twice the least possible.

        Args:
            features: f of all images of a class.
            count: m, at most n.
            rng: Draws the first image where `start` is "random"; ties go to the first image.

        References:
            Gonzalez, Clustering to Minimize the Maximum Intercluster Distance, 1985. Sener and
            Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, ICLR
            2018.
        """
        if self.start == "mean":
            latest = int((features - features.mean(0)).square().sum(1).argmin())
        else:
            latest = int(torch.randint(len(features), (), generator=rng))
        chosen = [latest]
        gap = torch.full((len(features),), torch.inf, dtype=features.dtype)
        while len(chosen) < count:
            gap = torch.minimum(gap, (features - features[latest]).square().sum(1))
            gap[latest] = -1  # below that of any copy of a chosen image
            latest = int(gap.argmax())
            chosen.append(latest)
        return torch.tensor(chosen)


class KMeansNearest(FeatureSelection):
    """The real image nearest to each k-means centre of the features of a class."""

    restarts: Annotated[int, Ge(1)] = 3
    """k-means++ starts, of which the best counts."""

    def choose(
        self, features: Float[torch.Tensor, "n d"], count: int, rng: torch.Generator
    ) -> Int[torch.Tensor, " m"]:
        """Returns different images, one a centre, of the least sum of squared distances.

        min over one-to-one s of Σ_j ‖f(s_j) − b_j‖², b the centres: the nearest image of each
        centre wherever these differ.

        Args:
            features: f of all images of a class.
            count: m, at most n.
            rng: Seeds k-means++.

        References:
            The baseline "kmeans-emb" of Cui et al., DC-BENCH: Dataset Condensation Benchmark,
            NeurIPS 2022.
        """
        from scipy.optimize import linear_sum_assignment

        clusters = cluster(features, count, draw_seed(rng), restarts=self.restarts)
        cost = squared_distances(torch.from_numpy(clusters.centres), features)  # m n
        return torch.from_numpy(linear_sum_assignment(cost.numpy())[1])


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {
        "herding": Herding(),
        "k_center": KCenter(),
        "kmeans_nearest": KMeansNearest(),
    }
