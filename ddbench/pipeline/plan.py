"""Cell -> stages with keys. Pure: reads no file, asks no device, runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ddbench.api.distiller import Distiller
from ddbench.api.recipe import NamedArchitecture, Training
from ddbench.api.roles import Statistic
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.cell import Cell
from ddbench.pipeline.checks import check_needs, check_training, count_images
from ddbench.pipeline.specs import (
    Evaluate,
    Prepare,
    Recover,
    RecoverAnew,
    Relabel,
    Squeeze,
    Statistics,
    Targets,
    data_key,
)
from ddbench.runtime.seeds import derive_seed
from ddbench.store.keys import Key, key_of
from ddbench.training.schedule import anneal, budget, warm_up


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a cell: what it is told, and the key of what it makes."""

    stage: str
    spec: Any
    inputs: tuple[Key, ...]
    key: Key = field(init=False, compare=False)
    """Worked out once: a large grid asks for it many times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.stage, self.spec, self.inputs))


def same_batches(one: PlannedStage, other: PlannedStage) -> bool:
    """Tells whether students of two evaluate stages see the same batches and labels, one by one.

    They do if nothing but the student differs: its architecture, which of the cell's it is, and
    how often held-out images look at it.
    """
    first, second = (
        replace(stage.spec, student=one.spec.student, run=0, holdout_every=0)
        for stage in (one, other)
    )
    return one.inputs == other.inputs and first == second


@dataclass(frozen=True, slots=True)
class PlannedTeacher:
    """A teacher, and what is found through it."""

    architecture: NamedArchitecture
    squeeze: PlannedStage
    statistics: tuple[PlannedStage, ...] = ()
    targets: tuple[PlannedStage | None, ...] = ()
    """One entry a matcher; None for those without a target."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of one cell in running order; those that it does not need are absent."""

    cell: Cell
    info: DatasetInfo
    teachers: tuple[PlannedTeacher, ...]
    """Those through which images are made or evaluators look, the cell's own first."""
    labelling: tuple[PlannedTeacher, ...]
    """Those that are asked for labels."""
    prepare: PlannedStage | None
    """What the distiller wants ahead of any image."""
    recover: PlannedStage
    relabel: PlannedStage | None
    evaluate: tuple[PlannedStage, ...]
    """One a student."""

    def stages(self) -> Iterator[PlannedStage]:
        """Every stage once, in running order."""
        seen: set[Key] = set()
        for stage in (
            *(teacher.squeeze for teacher in (*self.teachers, *self.labelling)),
            *self.statistics,
            *(target for teacher in self.teachers for target in teacher.targets),
            self.prepare,
            self.recover,
            self.relabel,
            *self.evaluate,
        ):
            if stage is not None and stage.key not in seen:
                seen.add(stage.key)
                yield stage

    @property
    def squeeze(self) -> PlannedStage | None:
        """The squeeze stage of the first teacher, if there is one."""
        return next((t.squeeze for t in (*self.teachers, *self.labelling)), None)

    @property
    def statistics(self) -> tuple[PlannedStage, ...]:
        """Statistics stages of all teachers."""
        return tuple(stage for teacher in self.teachers for stage in teacher.statistics)

    @property
    def teacher_names(self) -> dict[Key, str]:
        """Name of the teacher that each squeeze stage trains."""
        names = {teacher.squeeze.key: teacher.architecture.name for teacher in self.teachers}
        for teacher in self.labelling:
            name = teacher.architecture.name
            taken = name in names.values() and teacher.squeeze.key not in names
            names.setdefault(teacher.squeeze.key, f"{name} (labels)" if taken else name)
        return names

    @property
    def key(self) -> Key:
        """Key of the cell: equal exactly when every number must be equal."""
        return cell_key([stage.key for stage in self.evaluate], self.looked)

    @property
    def looked(self) -> tuple[Key, ...]:
        """Keys of statistics that only evaluators read, where images and labels do not depend on
        the teacher: with another one evaluators find other numbers."""
        asked = {teacher.squeeze.key for teacher in self.labelling}
        seen = self.squeeze is not None and self.squeeze.key in asked
        if seen or needs_teacher(self.cell.recipe.distiller):
            return ()
        return tuple(stage.key for stage in self.statistics)


def cell_key(trials: Sequence[Key], looked: Sequence[Key] = ()) -> Key:
    """Returns a cell's key, from those of its evaluate stages and of `Plan.looked`."""
    return key_of("cell", list(trials), *([list(looked)] if looked else []))


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
    recipe = cell.recipe
    check_needs(cell)
    counts = count_images(cell, info)
    check_training(cell)
    making = _recover_spec(cell, info, counts)
    through = _through(cell, making, bool(extra))
    teachers = tuple(
        _teacher(cell, info, making, architecture, () if number else extra)
        for number, architecture in enumerate(through)
    )
    asked = cell.teachers if recipe.labeller.asks != "nobody" else ()
    schooling = recipe.label_squeeze or recipe.squeeze
    labelling = tuple(PlannedTeacher(a, _squeeze(cell, info, a, schooling)) for a in asked)

    prepare = _prepare(cell, info)
    through_which = teachers if needs_teacher(recipe.distiller) else ()
    used = (key for teacher in through_which for key in _read(teacher, making))
    ahead = (prepare.key,) if prepare else ()
    recover = PlannedStage("recover", making, (*used, *ahead))
    upstream = tuple(teacher.squeeze.key for teacher in labelling)
    relabel = _relabel(cell, info, sum(counts), recover, upstream)
    judged_on = (recover.key, *((relabel.key,) if relabel else upstream))
    return Plan(
        cell=cell,
        info=info,
        teachers=teachers,
        labelling=labelling,
        prepare=prepare,
        recover=recover,
        relabel=relabel,
        evaluate=tuple(
            PlannedStage("evaluate", _evaluate(cell, info, sum(counts), run), judged_on)
            for run in range(cell.students)
        ),
    )


def _through(cell: Cell, making: Recover, wanted: bool) -> tuple[NamedArchitecture, ...]:
    """The teachers that images are made through: all of an ensemble for an objective, else one."""
    if not needs_teacher(making.distiller):
        return (cell.teacher,) if wanted else ()
    return cell.teachers if "objective" in making.distiller.needs else (cell.teacher,)


def _teacher(
    cell: Cell,
    info: DatasetInfo,
    making: Recover,
    architecture: NamedArchitecture,
    extra: tuple[Statistic, ...],
) -> PlannedTeacher:
    """A teacher with its own statistics and targets."""
    squeeze = _squeeze(cell, info, architecture, cell.recipe.squeeze)
    wanted: dict[Statistic, None] = dict.fromkeys((*extra, *making.statistics))
    for _, matcher in making.matchers:
        if matcher.target is not None:
            wanted[matcher.target.statistic] = None
    known = {
        statistic: PlannedStage(
            "statistics",
            Statistics(data=data_key(info), statistic=statistic, precision=cell.precision),
            (squeeze.key,),
        )
        for statistic in wanted
    }
    targets: list[PlannedStage | None] = []
    for _, matcher in making.matchers:
        target = matcher.target
        if target is None:
            targets.append(None)
            continue
        spec = Targets(target=target, counts=making.counts, seed=cell.seed)
        targets.append(PlannedStage("targets", spec, (known[target.statistic].key,)))
    return PlannedTeacher(architecture, squeeze, tuple(known.values()), tuple(targets))


def _read(teacher: PlannedTeacher, making: Recover) -> Iterator[Key]:
    """Keys of what the recover stage reads of a teacher."""
    known = {stage.spec.statistic: stage.key for stage in teacher.statistics}
    yield teacher.squeeze.key
    yield from (known[s] for part in making.parts for s in part.statistics)
    yield from (target.key for target in teacher.targets if target is not None)


def needs_teacher(distiller: Distiller) -> bool:
    """True if images are made through a trained teacher; fresh networks alone need none."""
    return bool(distiller.needs - {"networks"})


def _squeeze(
    cell: Cell, info: DatasetInfo, architecture: NamedArchitecture, training: Training
) -> PlannedStage:
    spec = Squeeze(
        data=data_key(info),
        architecture=architecture.part,
        training=anneal(warm_up(training, architecture.part), sum(info.train_counts)),
        seed=cell.teacher_seed,
        precision=cell.precision,
    )
    return PlannedStage("squeeze", spec, ())


def _prepare(cell: Cell, info: DatasetInfo) -> PlannedStage | None:
    preparation = cell.recipe.distiller.preparation
    if preparation is None:
        return None
    spec = Prepare(
        data=data_key(info),
        preparation=preparation,
        architecture=cell.teacher.part,
        seed=cell.teacher_seed,
        precision=cell.precision,
    )
    return PlannedStage("prepare", spec, ())


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


def derive_stream_seed(seed: int) -> int:
    """Derives the seed of students' views from the cell's: the same for every method, so
    that rows are paired."""
    return derive_seed(seed, "views")


def _relabel(
    cell: Cell, info: DatasetInfo, images: int, recover: PlannedStage, upstream: tuple[Key, ...]
) -> PlannedStage | None:
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
        seed=float(derive_stream_seed(cell.seed)) if views else 0,
        precision=cell.precision,
    )
    return PlannedStage("relabel", spec, (*upstream, recover.key))


def _evaluate(cell: Cell, info: DatasetInfo, images: int, run: int) -> Evaluate:
    crossed = cell.student.part != cell.teacher.part
    training = anneal(cell.protocol.training, images)
    if cell.protocol.learned_rate:
        training = replace(training, lr=0.0)  # the set's own comes in its place: equal keys
    return Evaluate(
        data=data_key(info),
        student=cell.student.part,
        labeller=cell.recipe.labeller,
        training=warm_up(training, cell.student.part) if cell.protocol.warmup else training,
        holdout=cell.protocol.holdout if crossed else 0.0,
        holdout_every=cell.protocol.holdout_every if crossed else 0,
        seed=cell.seed,
        run=run,
        precision=cell.precision,
        zca=cell.protocol.zca,
        learned_rate=cell.protocol.learned_rate,
    )
