"""One point of a grid: everything that decides its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ddbench.api.recipe import NamedArchitecture, Protocol, Recipe
from ddbench.data.description import NamedDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of a grid: everything that decides its numbers."""

    method: str
    recipe: Recipe
    dataset: NamedDataset
    ipc: int | None
    """Images per class; None where the method keeps the whole set."""
    teacher: NamedArchitecture
    companions: tuple[NamedArchitecture, ...] = ()
    """More teachers: with `teacher`, which comes first, an ensemble."""
    student: NamedArchitecture
    protocol: Protocol
    seed: int = 0
    students: int = 1
    """Students trained on the one distilled set, with different seeds."""
    precision: Literal["fp32", "bf16"] = "fp32"
    teacher_seed: int = 0
    """The teacher's own, so that distillation seeds share a teacher."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """What was changed against the recipe's defaults, as the user wrote it."""
    profile: str = ""
    """Of those changes, the profile that some of them come from."""

    @property
    def teachers(self) -> tuple[NamedArchitecture, ...]:
        """All teachers, the cell's own first."""
        return (self.teacher, *self.companions)

    @property
    def labels(self) -> str:
        """Name of the recipe's labeller: `fkd` of FKD, `mse_gt` of MseGt."""
        name = type(self.recipe.labeller).__name__
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
