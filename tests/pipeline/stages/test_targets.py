"""targets: classes side by side, with the same numbers whatever the number of threads."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.features import Features
from ddbench.api.roles import Target
from ddbench.api.types import Atoms
from ddbench.pipeline.results import LabelledFeatures
from ddbench.pipeline.specs import Targets
from ddbench.pipeline.stages import targets as stage
from ddbench.runtime import parallel
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench_plugins.matchers.wasserstein import BarycenterTarget


@pytest.fixture
def features() -> LabelledFeatures:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(5).repeat(12)
    return LabelledFeatures(torch.rand(60, 4, generator=rng), labels)


def found(target: Any, features: LabelledFeatures, counts: Any = (2, 0, 3, 2, 1)) -> Any:
    spec = Targets(target=target, counts=counts, seed=3)
    return stage.find_atoms(spec, features, Context(), Meter("cpu"))


def test_numbers_do_not_depend_on_the_threads(features, monkeypatch):
    atoms, report = found(BarycenterTarget(), features)
    assert atoms.points.shape == (8, 4)
    assert atoms.weights.sum().item() == pytest.approx(4)
    monkeypatch.setattr(parallel.torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(parallel.torch, "set_num_threads", lambda count: None)
    apart, other = found(BarycenterTarget(), features)
    assert other == report
    assert torch.equal(atoms.points, apart.points)
    assert torch.equal(atoms.weights, apart.weights)


def test_a_mistake_in_a_class_is_told(features):
    with pytest.raises(DDBenchError, match="13 images of a class that has 12"):
        found(BarycenterTarget(), features, (2, 2, 13, 2, 2))


class Misshapen(Target):
    """Atoms in too few dimensions."""

    statistic: ClassVar[Features] = Features()

    def atoms(self, features: Tensor, count: int, rng: Any) -> Atoms:
        return Atoms(features[:count, :1], torch.ones(count), {})


def test_misshapen_atoms_are_refused(features):
    with pytest.raises(DDBenchError, match="Misshapen") as caught:
        found(Misshapen(), features)
    assert "for class 0" in caught.value.facts[0]
