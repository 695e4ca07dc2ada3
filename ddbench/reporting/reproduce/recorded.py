"""Record -> the cell that made it, and its plan on this machine's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ddbench.api.card import Claim, MethodCard
from ddbench.api.recipe import NamedArchitecture, Recipe
from ddbench.api.record import Record
from ddbench.api.roles import Evaluator, Statistic
from ddbench.data.description import describe, find_dataset
from ddbench.data.stored_set import StoredSet
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.plan import Plan, plan
from ddbench.registry import Registry
from ddbench.reporting.reproduce.parts import UnknownPartError, part_of


def cell_of(record: Record, registry: Registry) -> Cell:
    """The cell that the record's configuration describes, option by option.

    Raises:
        DDBenchError: it names what is not installed here, or its images came from a file.
    """
    told = record.configuration
    missing = [name for name in ("recipe", "protocol", "teacher", "student") if name not in told]
    if missing:
        raise UnknownPartError(f"its configuration lacks {', '.join(missing)}")
    recipe = _recipe(record, registry)
    if isinstance(recipe.distiller, StoredSet):
        raise UnknownPartError(
            "its images came from a file, not from a method",
            hint="`ddbench eval FOLDER` judges the file again",
        )
    return Cell(
        method=record.variant or record.method,
        recipe=recipe,
        dataset=find_dataset(record.dataset, registry, record.holdout),
        ipc=record.ipc,
        teacher=NamedArchitecture(
            name=record.teacher.partition("+")[0], part=part_of(told["teacher"], registry)
        ),
        companions=tuple(part_of(other, registry) for other in told.get("companions", ())),
        student=NamedArchitecture(name=record.student, part=part_of(told["student"], registry)),
        protocol=part_of(told["protocol"], registry),
        seed=record.seed,
        students=record.student_count,
        precision=record.precision,  # type: ignore[arg-type]
        teacher_seed=told.get("teacher_seed", 0),
        overrides=dict(record.given),
        profile=record.profile,
    )


def _recipe(record: Record, registry: Registry) -> Recipe:
    told: dict[str, Any] = record.configuration["recipe"]
    missing = [n for n in ("squeeze", "distiller", "labeller") if n not in told]
    if missing:
        raise UnknownPartError(f"its recipe lacks {', '.join(missing)}")
    schooling = told.get("label_squeeze")
    return Recipe(
        name=record.method,
        card=MethodCard(title=record.title, claims=_claims(record)),
        squeeze=part_of(told["squeeze"], registry),
        label_squeeze=None if schooling is None else part_of(schooling, registry),
        matchers=tuple(part_of(term, registry) for term in told.get("matchers", ())),
        regularizers=tuple(part_of(term, registry) for term in told.get("regularizers", ())),
        distiller=part_of(told["distiller"], registry),
        labeller=part_of(told["labeller"], registry),
        baseline=record.baseline,
    )


def _claims(record: Record) -> tuple[Claim, ...]:
    if record.claim is None or record.ipc is None:
        return ()
    family = record.dataset.partition("@")[0]
    return (Claim(dataset=family, ipc=record.ipc, student="", **record.claim.model_dump()),)


def plan_of(cell: Cell, root: Path | None, extra: tuple[Statistic, ...] = ()) -> Plan:
    """The cell's stages, on the data of this machine.

    Raises:
        DDBenchError: the data set is not here.
    """
    return plan(cell, describe(cell.dataset, root), extra)


def evaluators_of(record: Record, registry: Registry) -> dict[str, Evaluator]:
    """The evaluators that the record's metrics came from, with their options."""
    return {name: part_of(spelt, registry) for name, spelt in record.evaluators.items()}
