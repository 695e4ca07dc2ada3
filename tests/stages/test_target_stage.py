"""targets: classes side by side, in threads or processes, with the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.context import Context
from ddbench.errors import DDBenchError
from ddbench.features import Features
from ddbench.meter import Meter
from ddbench.stage_specs import Targets
from ddbench.stages import targets as stage
from ddbench.types import Atoms
from ddbench_plugins.matchers.wasserstein import BarycenterTarget


@pytest.fixture
def features() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(5).repeat(12)
    return {"features": torch.rand(60, 4, generator=rng), "labels": labels}


@pytest.fixture
def two_threads(monkeypatch):
    """As torch reports them: this process computes on one."""
    monkeypatch.setattr(stage.torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(stage.torch, "set_num_threads", lambda count: None)


def found(target: Any, features: dict[str, Tensor], counts: Any = (2, 0, 3, 2, 1)) -> Any:
    return stage.targets(Targets(target=target, counts=counts, seed=3), features, Context(), METER)


METER = Meter("cpu")


def test_processes_give_the_numbers_of_threads(features, two_threads, monkeypatch):
    atoms, report = found(BarycenterTarget(), features)
    assert atoms["points"].shape == (8, 4)
    assert atoms["weights"].sum().item() == pytest.approx(4)
    asked = []
    divided = stage._in_processes
    monkeypatch.setattr(stage, "_in_processes", lambda *a: asked.append(a) or divided(*a))
    monkeypatch.setattr(stage, "WORTH_PROCESSES", 0.0)
    apart, other = found(BarycenterTarget(), features)
    assert len(asked) == 1
    assert other == report
    assert all(torch.equal(atoms[name], apart[name]) for name in atoms)


def test_a_mistake_in_another_process_is_told_as_in_this_one(features, two_threads, monkeypatch):
    monkeypatch.setattr(stage, "WORTH_PROCESSES", 0.0)
    with pytest.raises(DDBenchError, match="13 images of a class that has 12") as caught:
        found(BarycenterTarget(), features, (2, 2, 13, 2, 2))
    assert caught.value.hint == "--ipc 12 or less"


@dataclass(frozen=True, slots=True)
class Misshapen:
    """Atoms in too few dimensions."""

    version: ClassVar[int] = 1
    statistic: ClassVar[Features] = Features()

    def atoms(self, features: Tensor, count: int, rng: Any) -> Atoms:
        return Atoms(features[:count, :1], torch.ones(count), {})


def test_misshapen_atoms_are_refused(features):
    with pytest.raises(DDBenchError, match="Misshapen") as caught:
        found(Misshapen(), features)
    assert "for class 0" in caught.value.facts[0]
