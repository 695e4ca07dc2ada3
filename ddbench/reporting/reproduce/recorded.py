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
from ddbench.reporting.reproduce.parts import UnknownPartError, build_part


def rebuild_cell(record: Record, registry: Registry) -> Cell:
    """Builds the cell that a record's configuration describes, option by option.

    Raises:
        DDBenchError: it names what is not installed here, or its images came from a file.
    """
    spelt = record.configuration
    missing = [name for name in ("recipe", "protocol", "teacher", "student") if name not in spelt]
    if missing:
        raise UnknownPartError(f"its configuration lacks {', '.join(missing)}")
    recipe = _rebuild_recipe(record, registry)
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
            name=record.teacher.partition("+")[0], part=build_part(spelt["teacher"], registry)
        ),
        companions=tuple(build_part(other, registry) for other in spelt.get("companions", ())),
        student=NamedArchitecture(name=record.student, part=build_part(spelt["student"], registry)),
        protocol=build_part(spelt["protocol"], registry),
        seed=record.seed,
        students=record.student_count,
        precision=record.precision,  # type: ignore[arg-type]
        teacher_seed=spelt.get("teacher_seed", 0),
        overrides=dict(record.given),
        profile=record.profile,
    )


def _rebuild_recipe(record: Record, registry: Registry) -> Recipe:
    spelt: dict[str, Any] = record.configuration["recipe"]
    missing = [n for n in ("squeeze", "distiller", "labeller") if n not in spelt]
    if missing:
        raise UnknownPartError(f"its recipe lacks {', '.join(missing)}")
    schooling = spelt.get("label_squeeze")
    return Recipe(
        name=record.method,
        card=MethodCard(title=record.title, claims=_copy_claim(record)),
        squeeze=build_part(spelt["squeeze"], registry),
        label_squeeze=None if schooling is None else build_part(schooling, registry),
        matchers=tuple(build_part(term, registry) for term in spelt.get("matchers", ())),
        regularizers=tuple(build_part(term, registry) for term in spelt.get("regularizers", ())),
        distiller=build_part(spelt["distiller"], registry),
        labeller=build_part(spelt["labeller"], registry),
        baseline=record.baseline,
    )


def _copy_claim(record: Record) -> tuple[Claim, ...]:
    if record.claim is None or record.ipc is None:
        return ()
    family = record.dataset.partition("@")[0]
    return (Claim(dataset=family, ipc=record.ipc, student="", **record.claim.model_dump()),)


def plan_here(cell: Cell, root: Path | None, extra: tuple[Statistic, ...] = ()) -> Plan:
    """Plans the stages of a cell on the data of this machine.

    Args:
        cell: The cell.
        root: Folder of the data sets.
        extra: Statistics that evaluators ask for.

    Raises:
        DDBenchError: the data set is not here.
    """
    return plan(cell, describe(cell.dataset, root), extra)


def rebuild_evaluators(record: Record, registry: Registry) -> dict[str, Evaluator]:
    """Builds the evaluators that a record's metrics came from, with their options."""
    return {name: build_part(spelt, registry) for name, spelt in record.evaluators.items()}
