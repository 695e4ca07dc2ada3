"""Cell -> stages with keys. Pure: reads no file, asks no device, runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ddbench.errors import DDBenchError
from ddbench.keys import Key, key_of
from ddbench.roles import Distiller, Statistic, shown_of, statistics_of
from ddbench.seeds import seed_of
from ddbench.siamese import operations
from ddbench.spec import Cell, Training
from ddbench.stage_specs import (
    Evaluate,
    Recover,
    RecoverAnew,
    Relabel,
    Squeeze,
    Statistics,
    Targets,
    data_key,
)
from ddbench.types import DatasetInfo


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a cell: what it is told, and the key of what it makes."""

    stage: str
    spec: Any
    inputs: tuple[Key, ...]

    @property
    def key(self) -> Key:
        return key_of(self.stage, self.spec, self.inputs)


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of one cell in running order; those that it does not need are absent."""

    cell: Cell
    info: DatasetInfo
    squeeze: PlannedStage | None
    statistics: tuple[PlannedStage, ...]
    targets: tuple[PlannedStage | None, ...]
    """One entry a matcher; None for those without a target."""
    recover: PlannedStage
    relabel: PlannedStage | None
    evaluate: tuple[PlannedStage, ...]
    """One a student."""

    def stages(self) -> Iterator[PlannedStage]:
        """Every stage once, in running order."""
        seen: set[Key] = set()
        for stage in (
            self.squeeze,
            *self.statistics,
            *self.targets,
            self.recover,
            self.relabel,
            *self.evaluate,
        ):
            if stage is not None and stage.key not in seen:
                seen.add(stage.key)
                yield stage

    @property
    def key(self) -> Key:
        """Of the cell: equal exactly when every number must be equal."""
        return key_of("cell", [stage.key for stage in self.evaluate])


def plan(cell: Cell, info: DatasetInfo, extra: tuple[Statistic, ...] = ()) -> Plan:
    """The stages of `cell`, each with the key of its artifact.

    Equal cells give equal plans; cells that differ only in a loss share squeeze, statistics and,
    if the target is equal, targets; cells that differ only in the student share all but evaluate.

    Args:
        cell: One point of a grid.
        info: Its data set.
        extra: Statistics that evaluators want besides those of the recipe.

    Raises:
        DDBenchError: the recipe contradicts itself, or IPC is out of range.
    """
    recipe, data = cell.recipe, data_key(info)
    _check_needs(cell)
    counts = _counts(cell, info)
    _check_ranges(recipe.squeeze, "squeeze")
    _check_ranges(cell.protocol.training, "evaluate")
    asks = recipe.labeller.asks
    making = _recover_spec(cell, info, counts)
    needs_teacher = taught(recipe.distiller) or asks != "nobody" or bool(extra)
    squeeze = _squeeze(cell, info) if needs_teacher else None
    upstream = (squeeze.key,) if squeeze is not None else ()

    wanted: dict[Statistic, None] = dict.fromkeys((*extra, *making.statistics))
    for _, matcher in making.matchers:
        if matcher.target is not None:
            wanted[matcher.target.statistic] = None
    known = {
        statistic: PlannedStage(
            "statistics",
            Statistics(data=data, statistic=statistic, precision=cell.precision),
            upstream,
        )
        for statistic in wanted
    }
    targets: list[PlannedStage | None] = []
    for _, matcher in making.matchers:
        target = matcher.target
        spec = None if target is None else Targets(target=target, counts=counts, seed=cell.seed)
        inputs = () if target is None else (known[target.statistic].key,)
        targets.append(None if spec is None else PlannedStage("targets", spec, inputs))

    used = [known[s].key for part in making.parts for s in statistics_of(part)]
    through = (*upstream, *used, *(t.key for t in targets if t))
    recover = PlannedStage("recover", making, through if taught(recipe.distiller) else ())
    relabel = _relabel(cell, info, sum(counts), recover, upstream)
    labels_from = (relabel.key,) if relabel else upstream if asks != "nobody" else ()
    return Plan(
        cell=cell,
        info=info,
        squeeze=squeeze,
        statistics=tuple(known.values()),
        targets=tuple(targets),
        recover=recover,
        relabel=relabel,
        evaluate=tuple(
            PlannedStage("evaluate", _evaluate(cell, info, run), (recover.key, *labels_from))
            for run in range(cell.students)
        ),
    )


def taught(distiller: Distiller) -> bool:
    """Whether images are made through a trained teacher; fresh networks alone need none."""
    return bool(distiller.needs - {"networks"})


def _check_needs(cell: Cell) -> None:
    recipe = cell.recipe
    needs = recipe.distiller.needs
    if "objective" in needs and not (recipe.matchers or recipe.regularizers):
        raise DDBenchError(
            f"method '{cell.method}' optimises images but has no matcher and no regularizer",
            hint="give it one: --matcher wasserstein",
        )
    if statistics_of(recipe.distiller) and "teacher" not in needs:
        raise DDBenchError(
            f"the distiller of method '{cell.method}' reads statistics but needs no teacher",
            "statistics are taken of a teacher's activations",
            hint='add "teacher" to its `needs`',
        )


def _check_ranges(training: Training, what: str) -> None:
    operations(training.augmentation.one_of)
    for name, least in (("epochs", 1), ("batch_size", 1), ("max_updates", 0)):
        value = getattr(training, name)
        if value < least:
            raise DDBenchError(
                f"{what}.{name} is {value}", f"expected: {least} or more",
                hint=f"--set {what}.{name}=...",
            )  # fmt: skip


def _counts(cell: Cell, info: DatasetInfo) -> tuple[int, ...]:
    counts = cell.recipe.distiller.counts(info, cell.ipc)
    if cell.ipc is not None and cell.ipc < 1:
        raise DDBenchError(
            f"--ipc {cell.ipc} is out of range", "expected: 1 or more",
            hint="for example --ipc 1,10",
        )  # fmt: skip
    kept = [count // shown_of(cell.recipe.distiller) for count in counts]
    short = [
        (name, have, want)
        for name, have, want in zip(info.classes, info.train_counts, kept, strict=True)
        if want > have
    ]
    if short:
        name, have, want = min(short, key=lambda row: row[1])
        raise DDBenchError(
            f"--ipc {want} is more than class '{name}' of {info.name} has: {have} training images",
            f"{len(short)} of {info.num_classes} classes are too small",
            hint=f"--ipc {have} or less",
        )
    return counts


def _squeeze(cell: Cell, info: DatasetInfo) -> PlannedStage:
    spec = Squeeze(
        data=data_key(info),
        architecture=cell.teacher.part,
        training=cell.recipe.squeeze,
        seed=cell.teacher_seed,
        precision=cell.precision,
    )
    return PlannedStage("squeeze", spec, ())


def _recover_spec(cell: Cell, info: DatasetInfo, counts: tuple[int, ...]) -> Recover:
    recipe = cell.recipe
    needs = recipe.distiller.needs
    optimised = "objective" in needs
    told: dict[str, Any] = {
        "data": data_key(info),
        "distiller": recipe.distiller,
        "counts": counts,
        "matchers": tuple((t.weight, t.part) for t in recipe.matchers) if optimised else (),
        "regularizers": tuple((t.weight, t.part) for t in recipe.regularizers) if optimised else (),
        "seed": cell.seed,
        # Without a network nothing is multiplied: the same selection at every precision.
        "precision": cell.precision if needs else "fp32",
    }
    if "networks" in needs:
        return RecoverAnew(**told, architecture=cell.teacher.part)
    return Recover(**told)


def stream_seed(cell: Cell) -> int:
    """Of the views that students are shown: the same for every method, so that rows are paired."""
    return seed_of(cell.seed, "views")


def _relabel(
    cell: Cell, info: DatasetInfo, images: int, recover: PlannedStage, upstream: tuple[Key, ...]
) -> PlannedStage | None:
    from ddbench.training import budget

    labeller, training = cell.recipe.labeller, cell.protocol.training
    if labeller.asks == "nobody" or (labeller.asks == "views" and not labeller.stored):
        return None
    views = labeller.asks == "views"
    steps = -(-images // training.batch_size)
    spec = Relabel(
        data=data_key(info),
        labeller=labeller,
        augmentation=training.augmentation if views else None,
        epochs=budget(training, steps).epochs if views else 1,
        batch_size=training.batch_size if views else 0,
        seed=stream_seed(cell) if views else 0,
        precision=cell.precision,
    )
    return PlannedStage("relabel", spec, (*upstream, recover.key))


def _evaluate(cell: Cell, info: DatasetInfo, run: int) -> Evaluate:
    crossed = cell.student.part != cell.teacher.part
    return Evaluate(
        data=data_key(info),
        student=cell.student.part,
        labeller=cell.recipe.labeller,
        training=cell.protocol.training,
        holdout=cell.protocol.holdout if crossed else 0.0,
        holdout_every=cell.protocol.holdout_every if crossed else 0,
        seed=cell.seed,
        run=run,
        precision=cell.precision,
    )
