"""Makes the artifacts of a plan, or takes them from the cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from torch import nn

from ddbench.api.roles import Statistic
from ddbench.api.types import Network, Tensors
from ddbench.data.description import NamedDataset
from ddbench.data.real import RealData, load_whitening, open_data
from ddbench.data.whitening import Whitening
from ddbench.nn.build import build_network, restore_network
from ddbench.nn.probe import Probe
from ddbench.pipeline.plan import (
    Plan,
    PlannedStage,
    PlannedTeacher,
    same_batches,
    stream_seed,
    taught,
)
from ddbench.pipeline.stages.evaluate import Student, evaluate, warn_unless_same
from ddbench.pipeline.stages.prepare import pieces_of, prepare
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.relabel import relabel
from ddbench.pipeline.stages.squeeze import check_teacher, squeeze
from ddbench.pipeline.stages.statistics import statistics
from ddbench.pipeline.stages.targets import targets
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Cost, Meter, measure
from ddbench.runtime.memory import is_out_of_memory
from ddbench.store.cache import Artifact, Cache
from ddbench.store.keys import Key, spell
from ddbench.training.batches import Distilled, Stream

StageDone = Callable[[str, str, float, int | None, bool], None]
Made = tuple[Tensors, Mapping[str, float]]
MOST_STUDENTS = 8
"""Trained side by side at most: weights and optimiser states of all are in memory."""


class Workshop:
    """Runs stages for one process: data sets and teachers stay open between cells."""

    def __init__(
        self, cache: Cache, ctx: Context, stage_done: StageDone, plans: Sequence[Plan] = ()
    ) -> None:
        """`plans` are all that will be asked for: students may be trained side by side."""
        self.cache = cache
        self.ctx = ctx
        self._stage_done = stage_done
        self._students: dict[tuple[Key, ...], list[PlannedStage]] = defaultdict(list)
        """Of all plans, by what they are built from."""
        for stage in (stage for plan in plans for stage in plan.evaluate):
            self._students[stage.inputs].append(stage)
        self._data: dict[str, RealData] = {}
        self._teachers: dict[str, Network] = {}
        self.made: set[str] = set()
        """Keys that this process made rather than found."""
        self._at_hand: dict[Key, nn.Module] = {}
        """The students trained last, under the keys of their trials."""
        self._found: dict[str, Artifact] = {}

    # -- inputs that stay open ---------------------------------------------------------------

    def data(self, named: NamedDataset) -> RealData:
        key = repr(spell(named))
        if key not in self._data:
            self._data[key] = open_data(named, self.ctx, self.cache)
        return self._data[key]

    def network(self, plan: Plan, teacher: PlannedTeacher) -> Network:
        """A teacher of the plan, trained if need be."""
        artifact = self.squeezed(plan, teacher)
        if artifact.key not in self._teachers:
            for key in set(self._teachers) - set(plan.teacher_names):
                del self._teachers[key]  # those of one plan at a time: they are large
            self._teachers[artifact.key] = restore_network(
                teacher.architecture.part, plan.info, artifact.tensors(), self.ctx
            )
        return self._teachers[artifact.key]

    def labelling(self, plan: Plan) -> list[Network]:
        """The networks that are asked for labels."""
        return [self.network(plan, teacher) for teacher in plan.labelling]

    # -- stages --------------------------------------------------------------------------------

    def squeezed(self, plan: Plan, teacher: PlannedTeacher) -> Artifact:
        spec = teacher.squeeze.spec

        def make(meter: Meter) -> Made:
            self._check_taps(plan)
            return squeeze(spec, self.data(plan.cell.dataset), self.ctx, meter)

        artifact = self._artifact(teacher.squeeze, make, ())
        check_teacher(artifact.card["report"]["teacher_top1"], self.data(plan.cell.dataset))
        return artifact

    def _check_taps(self, plan: Plan) -> None:
        """What the parts look at is there, before any teacher is trained for them.

        Raises:
            IncompatibleError: PCBN and a teacher without BatchNorm, say.
            DDBenchError: a layer that the teacher does not have.
        """
        for teacher in plan.teachers or plan.labelling[:1]:
            part = teacher.architecture.part
            module = build_network(part, plan.info, 0, self.ctx)
            network = Network(module, part.classifier(module))
            wanted = [stage.spec.statistic for stage in teacher.statistics]
            taps = [tap for statistic in wanted for tap in statistic.taps(network)]
            Probe(network, [*plan.recover.spec.taps(network), *taps], self.ctx).close()

    def statistic(self, plan: Plan, teacher: PlannedTeacher, wanted: Statistic) -> Artifact:
        """One statistic of a teacher; all that it still lacks are computed in the same pass."""
        by_part = {stage.spec.statistic: stage for stage in teacher.statistics}
        found = self._load(by_part[wanted])
        if found is not None:
            return found
        upstream = self.squeezed(plan, teacher)
        # One lock for all of a teacher's: a pass computes whichever of them are missing.
        with self.cache.lock(f"statistics-{upstream.key}"):
            missing = [s for s in by_part.values() if self._load(s) is None]
            if by_part[wanted] in missing:  # else another process was faster
                self._pass(plan, teacher, missing, upstream)
        result = self._load(by_part[wanted])
        assert result is not None
        return result

    def _pass(
        self, plan: Plan, teacher: PlannedTeacher, missing: list[PlannedStage], upstream: Artifact
    ) -> None:
        """Computes and stores statistics; each bears an equal part of the cost."""
        network, data = self.network(plan, teacher), self.data(plan.cell.dataset)
        with measure(self.ctx.device) as meter:
            wanted = [stage.spec.statistic for stage in missing]
            tensors = statistics(wanted, data, network, self.ctx, meter)
        assert meter.cost is not None
        shared = meter.cost.part(1 / len(missing))
        for stage, found in zip(missing, tensors, strict=True):
            self._store(stage, found, {}, shared, (upstream,))

    def target(self, plan: Plan, teacher: PlannedTeacher, stage: PlannedStage) -> Artifact:
        def features() -> Artifact:
            return self.statistic(plan, teacher, stage.spec.target.statistic)

        def make(meter: Meter) -> Made:
            return targets(stage.spec, features().tensors(), self.ctx, meter)

        return self._artifact(stage, make, lambda: (features(),))

    def prepared(self, plan: Plan) -> Artifact | None:
        stage = plan.prepare
        if stage is None:
            return None
        partial = self.cache.partial(stage.stage, stage.key)

        def make(meter: Meter) -> Made:
            data = self.data(plan.cell.dataset)
            return prepare(stage.spec, data, partial, self.ctx, meter)

        artifact = self._artifact(stage, make, ())
        partial.clear()
        return artifact

    def recovered(self, plan: Plan) -> Artifact:
        stage, spec = plan.recover, plan.recover.spec
        teachers = plan.teachers if taught(spec.distiller) else ()

        def upstream() -> tuple[Artifact, ...]:
            found: list[Artifact] = []
            for teacher in teachers:
                found.append(self.squeezed(plan, teacher))
                found += [self.statistic(plan, teacher, s) for s in spec.statistics]
                found += [self.target(plan, teacher, t) for t in teacher.targets if t is not None]
            ahead = self.prepared(plan)
            return (*found, *((ahead,) if ahead else ()))

        def handed(teacher: PlannedTeacher) -> Teacher:
            known = {s: self.statistic(plan, teacher, s).tensors() for s in spec.statistics}
            atoms = [t and self.target(plan, teacher, t).tensors() for t in teacher.targets]
            return Teacher(self.network(plan, teacher), known, atoms)

        if not self.cache.has(stage.stage, stage.key):
            upstream()  # made before the clock of this stage starts

        def make(meter: Meter) -> Made:
            partial = self.cache.partial(stage.stage, stage.key)
            data, ahead = self.data(plan.cell.dataset), self.prepared(plan)
            pieces = pieces_of(ahead.tensors()) if ahead else ()
            taught_by = [handed(teacher) for teacher in teachers]
            return recover(spec, data, taught_by, partial, self.ctx, meter, pieces)

        artifact = self._artifact(stage, make, upstream)
        self.cache.partial(stage.stage, stage.key).clear()
        return artifact

    def relabelled(self, plan: Plan) -> Artifact | None:
        stage = plan.relabel
        if stage is None:
            return None

        def make(meter: Meter) -> Made:
            return relabel(stage.spec, self.stream(plan), self.labelling(plan), self.ctx, meter)

        def upstream() -> tuple[Artifact, ...]:
            return (*self._asked(plan), self.recovered(plan))

        if not self.cache.has(stage.stage, stage.key):
            upstream()
        return self._artifact(stage, make, upstream)

    def _asked(self, plan: Plan) -> list[Artifact]:
        return [self.squeezed(plan, teacher) for teacher in plan.labelling]

    def evaluated(self, plan: Plan, run: int) -> Artifact:
        """One student. Others of the batch that learn from the same labelled batches, students of
        the cell or of cells with another architecture, are trained beside it and stored too."""
        stage = plan.evaluate[run]
        found = self._load(stage)
        if found is not None:
            return found

        def trained(stages: list[PlannedStage]) -> Student:
            """The first of the students; those that went well are stored."""
            students, cost = self._train_students(plan, stages)
            labels = self.relabelled(plan)
            sources = [labels] if labels else self._asked(plan) if _asks_views(plan) else []
            above = (self.recovered(plan), *sources)
            assert cost is not None
            for each, student in zip(stages, students, strict=True):
                if student.made is not None:
                    self._store(each, *student.made, cost.part(student.share), above)
            return students[0]

        with self.cache.lock(stage.key):
            found = self._load(stage)  # another process was faster
            if found is not None:
                return found
            others = self._unmade_beside(stage)
            with self.cache.locks(others) as free:
                student = trained([stage, *(others[key] for key in free)])
            if free and student.fault is not None and is_out_of_memory(student.fault):
                student = trained([stage])
            if student.fault is not None:
                raise student.fault
        return self._found[stage.key]

    def _train_students(
        self, plan: Plan, stages: Sequence[PlannedStage], threads: int | None = None
    ) -> tuple[list[Student], Cost | None]:
        """Students trained side by side, which stay at hand until the next ones."""
        labels = self.relabelled(plan)
        stored = labels.tensors() if labels else None
        teachers = self.labelling(plan) if _asks_views(plan) and labels is None else []
        data, stream = self.data(plan.cell.dataset), self.stream(plan)
        self._at_hand.clear()
        with measure(self.ctx.device) as meter:
            students = evaluate(
                [stage.spec for stage in stages], data, stream, teachers, stored, self.ctx, threads
            )
        for stage, student in zip(stages, students, strict=True):
            if student.module is not None:
                self._at_hand[stage.key] = student.module
        return students, meter.cost

    def student(self, plan: Plan, run: int) -> Network:
        """The student of `evaluated(plan, run)`, stored by whoever asks for it first.

        It is trained again where only its logits are left.
        """
        trial = self.evaluated(plan, run)

        def make(meter: Meter) -> Made:
            if trial.key not in self._at_hand:
                threads = trial.tensors().get("threads")  # older artifacts do not say
                (again,), _ = self._train_students(
                    plan, [plan.evaluate[run]], None if threads is None else int(threads)
                )
                if again.made is None:
                    assert again.fault is not None
                    raise again.fault
                warn_unless_same(trial.tensors()["logits"], again.made[0]["logits"])
            return dict(self._at_hand[trial.key].state_dict()), {}

        artifact = self._artifact(student_stage(plan, run), make, (trial,))
        return restore_network(plan.cell.student.part, plan.info, artifact.tensors(), self.ctx)

    def _unmade_beside(self, stage: PlannedStage) -> dict[Key, PlannedStage]:
        """Students that are still to be trained and may be so beside one, by their keys."""
        alike = [other for other in self._students[stage.inputs] if same_batches(stage, other)]
        found = {other.key: other for other in alike if not self.cache.has(other.stage, other.key)}
        found.pop(stage.key, None)
        return dict(islice(found.items(), MOST_STUDENTS - 1))

    # -- what stages read ----------------------------------------------------------------------

    def distilled(self, plan: Plan) -> Distilled:
        """The distilled set, its images looked up where it is a selection of real ones."""
        tensors = self.recovered(plan).tensors()
        images = tensors.get("images")
        if images is None:
            images = self.data(plan.cell.dataset).train_images[tensors["indices"]]
        return Distilled(images, tensors["labels"], tensors["weights"])

    def whitening(self, plan: Plan) -> Whitening | None:
        """What the protocol puts in the place of normalisation."""
        epsilon = plan.cell.protocol.zca
        data = self.data(plan.cell.dataset)
        return load_whitening(data, epsilon, self.cache, self.ctx) if epsilon else None

    def stream(self, plan: Plan) -> Stream:
        made = self.distilled(plan)
        training = plan.cell.protocol.training
        return Stream(
            images=made.images,
            labels=made.labels,
            weights=made.weights,
            info=plan.info,
            augmentation=training.augmentation,
            batch_size=training.batch_size,
            seed=stream_seed(plan.cell.seed),
            device=self.ctx.device,
            stored=plan.cell.recipe.labeller.views,
            whitening=self.whitening(plan),
        )

    # -- the cache -------------------------------------------------------------------------------

    def _artifact(
        self,
        stage: PlannedStage,
        make: Callable[[Meter], Made],
        upstream: tuple[Artifact, ...] | Callable[[], tuple[Artifact, ...]],
    ) -> Artifact:
        found = self._load(stage)
        if found is not None:
            return found
        with self.cache.lock(stage.key):
            found = self._load(stage)  # another process was faster
            if found is not None:
                return found
            with measure(self.ctx.device) as meter:
                tensors, report = make(meter)
            above = upstream() if callable(upstream) else upstream
            return self._store(stage, tensors, report, meter.cost, above)

    def _load(self, stage: PlannedStage) -> Artifact | None:
        """From this process's memory or the cache, verified once and announced once."""
        if stage.key not in self._found:
            found = self.cache.load(stage.stage, stage.key)
            if found is None:
                return None
            self._announce(found, cached=True)
        return self._found[stage.key]

    def _store(
        self,
        stage: PlannedStage,
        tensors: Tensors,
        report: Mapping[str, float],
        cost: Cost | None,
        upstream: tuple[Artifact, ...],
    ) -> Artifact:
        assert cost is not None
        self.made.add(stage.key)
        lineage: dict[str, Any] = {}
        for above in upstream:
            lineage.update(above.card["lineage"])
            lineage[above.key] = {
                "stage": above.stage,
                "cost": above.cost,
                "report": above.card["report"],
            }
        card = {
            "spec": spell(stage.spec),
            "inputs": list(stage.inputs),
            "lineage": lineage,
            "report": dict(report),
            "cost": cost.to_json(),
        }
        artifact = self.cache.store(stage.stage, stage.key, tensors, card)
        self._announce(artifact, cached=False)
        return artifact

    def _announce(self, artifact: Artifact, cached: bool) -> None:
        self._found[artifact.key] = artifact
        cost = artifact.cost
        self._stage_done(artifact.stage, artifact.key, cost["seconds"], cost["peak_bytes"], cached)


def _asks_views(plan: Plan) -> bool:
    return plan.cell.recipe.labeller.asks == "views"


def student_stage(plan: Plan, run: int) -> PlannedStage:
    """The weights of a student: the stage beside its trial."""
    return replace(plan.evaluate[run], stage="student")
