"""Makes the artifacts of a plan, or takes them from the cache."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ddbench.cache import Artifact, Cache
from ddbench.context import Context
from ddbench.data import RealData, open_data
from ddbench.errors import DDBenchWarning
from ddbench.keys import Key, spell
from ddbench.meter import Cost, Meter, measure
from ddbench.networks import fresh, restored
from ddbench.plan import Plan, PlannedStage, stream_seed, taught
from ddbench.probe import Probe
from ddbench.roles import Statistic
from ddbench.spec import NamedDataset
from ddbench.stages.evaluate import evaluate
from ddbench.stages.recover import recover
from ddbench.stages.relabel import relabel
from ddbench.stages.squeeze import check_teacher, squeeze
from ddbench.stages.statistics import statistics
from ddbench.stages.targets import targets
from ddbench.stream import Stream
from ddbench.types import DistilledSet, Network, Tensors

StageDone = Callable[[str, str, float, int | None, bool], None]
Made = tuple[Tensors, Mapping[str, float]]
MOST_OTHER = 0.01
"""Part of the test images that a student trained again may answer otherwise without a warning."""


@dataclass(frozen=True, slots=True)
class Distilled:
    """A distilled set as students are trained on it."""

    images: torch.Tensor
    """uint8, or floating pixels, of which an image has those in [0, 1]."""
    labels: torch.Tensor
    weights: torch.Tensor

    def as_set(self) -> DistilledSet:
        scale = 255.0 if self.images.dtype == torch.uint8 else 1.0
        return DistilledSet(self.images.float() / scale, self.labels, self.weights)


class Workshop:
    """Runs stages for one process: data sets and teachers stay open between cells."""

    def __init__(self, cache: Cache, ctx: Context, stage_done: StageDone) -> None:
        self.cache = cache
        self.ctx = ctx
        self._stage_done = stage_done
        self._data: dict[str, RealData] = {}
        self._teachers: dict[str, Network] = {}
        self.made: set[str] = set()
        """Keys that this process made rather than found."""
        self._student: tuple[Key, nn.Module] | None = None
        """The last one trained, under the key of its trial."""
        self._found: dict[str, Artifact] = {}

    # -- inputs that stay open ---------------------------------------------------------------

    def data(self, named: NamedDataset) -> RealData:
        key = repr(spell(named))
        if key not in self._data:
            self._data[key] = open_data(named, self.ctx, self.cache)
        return self._data[key]

    def teacher(self, plan: Plan) -> Network | None:
        """The plan's teacher, trained if need be; None where the plan has none."""
        if plan.squeeze is None:
            return None
        artifact = self.squeezed(plan)
        if artifact.key not in self._teachers:
            self._teachers.clear()  # one teacher at a time: they are large
            self._teachers[artifact.key] = restored(
                plan.cell.teacher.part, plan.info, artifact.tensors(), self.ctx
            )
        return self._teachers[artifact.key]

    # -- stages --------------------------------------------------------------------------------

    def squeezed(self, plan: Plan) -> Artifact:
        assert plan.squeeze is not None
        spec = plan.squeeze.spec

        def make(meter: Meter) -> Made:
            self._check_taps(plan)
            return squeeze(spec, self.data(plan.cell.dataset), self.ctx, meter)

        artifact = self._artifact(plan.squeeze, make, ())
        check_teacher(artifact.card["report"]["teacher_top1"], self.data(plan.cell.dataset))
        return artifact

    def _check_taps(self, plan: Plan) -> None:
        """What the parts look at is there, before a teacher is trained for them.

        Raises:
            IncompatibleError: PCBN and a teacher without BatchNorm, say.
            DDBenchError: a layer that the teacher does not have.
        """
        module = fresh(plan.cell.teacher.part, plan.info, 0, self.ctx)
        network = Network(module, plan.cell.teacher.part.classifier(module))
        wanted = [stage.spec.statistic for stage in plan.statistics]
        taps = [tap for statistic in wanted for tap in statistic.taps(network)]
        Probe(network, [*plan.recover.spec.taps(network), *taps], self.ctx).close()

    def statistic(self, plan: Plan, wanted: Statistic) -> Artifact:
        """One statistic; all that the plan still lacks are computed in the same pass."""
        by_part = {stage.spec.statistic: stage for stage in plan.statistics}
        found = self._load(by_part[wanted])
        if found is not None:
            return found
        missing = [s for s in by_part.values() if not self.cache.has(s.stage, s.key)]
        teacher, data = self.teacher(plan), self.data(plan.cell.dataset)
        upstream = self.squeezed(plan)
        assert teacher is not None
        with self.cache.lock(by_part[wanted].key), measure(self.ctx.device) as meter:
            tensors = statistics(
                [s.spec.statistic for s in missing], data, teacher, self.ctx, meter
            )
        shared = _share(meter.cost, len(missing))
        for stage, found_tensors in zip(missing, tensors, strict=True):
            self._store(stage, found_tensors, {}, shared, (upstream,))
        result = self._load(by_part[wanted])
        assert result is not None
        return result

    def target(self, plan: Plan, stage: PlannedStage) -> Artifact:
        def make(meter: Meter) -> Made:
            features = self.statistic(plan, stage.spec.target.statistic).tensors()
            return targets(stage.spec, features, self.ctx, meter)

        return self._artifact(
            stage, make, lambda: (self.statistic(plan, stage.spec.target.statistic),)
        )

    def recovered(self, plan: Plan) -> Artifact:
        stage, spec = plan.recover, plan.recover.spec
        teaches = taught(spec.distiller)

        def upstream() -> tuple[Artifact, ...]:
            if not teaches:
                return ()
            known = [self.statistic(plan, s) for s in spec.statistics]
            atoms = [self.target(plan, t) for t in plan.targets if t is not None]
            return (self.squeezed(plan), *known, *atoms)

        if not self.cache.has(stage.stage, stage.key):
            upstream()  # made before the clock of this stage starts

        def make(meter: Meter) -> Made:
            known = {s: self.statistic(plan, s).tensors() for s in spec.statistics}
            atoms = [t and self.target(plan, t).tensors() for t in plan.targets]
            partial = self.cache.partial(stage.stage, stage.key)
            teacher = self.teacher(plan) if teaches else None
            data = self.data(plan.cell.dataset)
            return recover(spec, data, teacher, known, atoms, partial, self.ctx, meter)

        artifact = self._artifact(stage, make, upstream)
        self.cache.partial(stage.stage, stage.key).clear()
        return artifact

    def relabelled(self, plan: Plan) -> Artifact | None:
        stage = plan.relabel
        if stage is None:
            return None

        def make(meter: Meter) -> Made:
            teacher = self.teacher(plan)
            assert teacher is not None
            return relabel(stage.spec, self.stream(plan), teacher, self.ctx, meter)

        if not self.cache.has(stage.stage, stage.key):
            self.recovered(plan), self.squeezed(plan)
        return self._artifact(stage, make, lambda: (self.squeezed(plan), self.recovered(plan)))

    def evaluated(self, plan: Plan, run: int) -> Artifact:
        stage = plan.evaluate[run]
        asks = plan.cell.recipe.labeller.asks

        def upstream() -> tuple[Artifact, ...]:
            labels = self.relabelled(plan)
            teacher = (self.squeezed(plan),) if asks == "views" and labels is None else ()
            return (self.recovered(plan), *((labels,) if labels else teacher))

        if not self.cache.has(stage.stage, stage.key):
            upstream()

        return self._artifact(stage, lambda meter: self._train_student(plan, run, meter), upstream)

    def _train_student(self, plan: Plan, run: int, meter: Meter) -> Made:
        """The trial of a newly trained student, which stays at hand until the next one."""
        stage = plan.evaluate[run]

        def keep(module: nn.Module) -> None:
            self._student = (stage.key, module)

        labels = self.relabelled(plan)
        stored = labels.tensors() if labels else None
        asked = plan.cell.recipe.labeller.asks == "views" and labels is None
        teacher = self.teacher(plan) if asked else None
        data, stream = self.data(plan.cell.dataset), self.stream(plan)
        return evaluate(stage.spec, data, stream, teacher, stored, self.ctx, meter, keep)

    def student(self, plan: Plan, run: int) -> Network:
        """The student of `evaluated(plan, run)`, stored by whoever asks for it first.

        It is trained again where only its logits are left.
        """
        trial = self.evaluated(plan, run)

        def make(meter: Meter) -> Made:
            if self._student is None or self._student[0] != trial.key:
                tensors, _ = self._train_student(plan, run, meter)
                _warn_unless_same(trial.tensors()["logits"], tensors["logits"])
            assert self._student is not None
            return dict(self._student[1].state_dict()), {}

        artifact = self._artifact(student_stage(plan, run), make, (trial,))
        return restored(plan.cell.student.part, plan.info, artifact.tensors(), self.ctx)

    # -- what stages read ----------------------------------------------------------------------

    def distilled(self, plan: Plan) -> Distilled:
        """The distilled set, its images looked up where it is a selection of real ones."""
        tensors = self.recovered(plan).tensors()
        images = tensors.get("images")
        if images is None:
            images = self.data(plan.cell.dataset).train_images[tensors["indices"]]
        return Distilled(images, tensors["labels"], tensors["weights"])

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
            seed=stream_seed(plan.cell),
            device=self.ctx.device,
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


def student_stage(plan: Plan, run: int) -> PlannedStage:
    """The weights of a student: the stage beside its trial."""
    return replace(plan.evaluate[run], stage="student")


def _warn_unless_same(judged: torch.Tensor, again: torch.Tensor) -> None:
    """A student that was trained again must be the one whose accuracy the record holds."""
    other = (judged.argmax(1) != again.argmax(1)).float().mean().item()
    if other > MOST_OTHER:
        warnings.warn(
            f"a student trained again answers {100 * other:.1f} % of the test images otherwise "
            "than the one whose accuracy is recorded: this device does not repeat its numbers",
            DDBenchWarning,
            stacklevel=2,
        )


def _share(cost: Cost | None, parts: int) -> Cost:
    """One pass made several artifacts: each bears its part, so that sums stay true."""
    assert cost is not None
    cpu = None if cost.cpu_seconds is None else cost.cpu_seconds / parts
    return Cost(cost.seconds / parts, cost.peak_bytes, cost.device, None, None, 0, cpu)
