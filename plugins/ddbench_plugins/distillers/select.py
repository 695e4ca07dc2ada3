"""Distillers that choose real images: at random, or all of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int

from ddbench import hookimpl
from ddbench.api.distiller import Distiller, DistillProblem
from ddbench.api.types import DatasetInfo
from ddbench_plugins.distillers._per_class import ClassByClass


class RandomSelection(ClassByClass):
    """Training images drawn per class, uniformly and without replacement."""

    makes = "indices"

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Int[torch.Tensor, " b"]:
        cls = int(problem.labels[int(indices[0])])
        rows = problem.real_indices(cls)
        chosen = torch.randperm(len(rows), generator=problem.rng("class", cls))[: len(indices)]
        problem.tick()
        return rows[chosen]


class WholeSet(ClassByClass):
    """Every training image: the row that all distilled sets are measured against."""

    makes = "indices"

    def counts(self, info: DatasetInfo, ipc: int | None) -> tuple[int, ...]:
        return info.train_counts

    def recover(
        self, problem: DistillProblem, indices: Int[torch.Tensor, " b"]
    ) -> Int[torch.Tensor, " b"]:
        problem.tick()
        return problem.real_indices(int(problem.labels[int(indices[0])]))


@hookimpl
def ddbench_distillers() -> Mapping[str, Distiller]:
    return {"random_selection": RandomSelection(), "whole_set": WholeSet()}
