"""A method that learns labels and a rate beside images, as a plug-in would bring it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem, Learned
from ddbench.api.recipe import Recipe, Training
from ddbench.api.types import DatasetInfo
from ddbench_plugins.labellers.learned import Learned as LearnedLabels


class Learner(Distiller):
    """Real images with logits near their class; one group where a rate is learned too."""

    rate: float = 0.0
    """The rate that it "learns"; 0 for none."""

    @property
    def learns(self) -> frozenset[str]:
        return frozenset({"labels", "rate"} if self.rate else {"labels"})

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return (ipc or 1,) * info.num_classes

    def batches(self, labels: Tensor) -> list[Tensor]:
        rows = torch.arange(len(labels))
        return [rows] if self.rate else [rows[labels == cls] for cls in labels.unique()]

    def iterations_of(self, problem: DistillProblem, indices: Tensor) -> int:
        return 1

    def recover(self, problem: DistillProblem, indices: Tensor) -> Learned:
        images, soft = [], []
        for cls in problem.labels[indices].unique().tolist():
            count, rng = int((problem.labels[indices] == cls).sum()), problem.rng("class", cls)
            images.append(problem.real_batch(cls, count, rng))
            logits = torch.randn(count, problem.info.num_classes, generator=rng)
            logits[:, cls] += 6
            soft.append(logits)
        problem.tick()
        return Learned(torch.cat(images), torch.cat(soft), self.rate or None)


def learner(info: DatasetInfo, ipc: int | None) -> Recipe:
    """Trains students on the labels of `Learner`."""
    return Recipe(
        name="learner",
        squeeze=Training(epochs=1),
        distiller=Learner(rate=0.02),
        labeller=LearnedLabels(),
    )


@hookimpl
def ddbench_recipes() -> Mapping[str, Callable[[DatasetInfo, int | None], Recipe]]:
    return {"learner": learner}
