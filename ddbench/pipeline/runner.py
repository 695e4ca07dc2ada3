"""Runs the stages of plans up to labels: one method a stage."""

from __future__ import annotations

from ddbench.api.roles import Statistic
from ddbench.api.types import Network
from ddbench.data.description import NamedDataset
from ddbench.data.real import RealData, load_whitening, open_data
from ddbench.data.whitening import Whitening
from ddbench.nn.build import build_network, restore_network
from ddbench.nn.probe import Probe
from ddbench.pipeline.artifacts import Artifacts, Made, StageDone
from ddbench.pipeline.plan import (
    Plan,
    PlannedStage,
    PlannedTeacher,
    derive_stream_seed,
    needs_teacher,
)
from ddbench.pipeline.results import (
    ClassAtoms,
    DistilledImages,
    LabelledFeatures,
    NetworkWeights,
    PreparedPieces,
)
from ddbench.pipeline.stages.prepare import prepare
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.relabel import relabel
from ddbench.pipeline.stages.squeeze import check_teacher, squeeze
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.pipeline.stages.targets import find_atoms
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter, measure
from ddbench.store.cache import Artifact, Cache
from ddbench.store.keys import Key, spell
from ddbench.training.batches import Stream


class Runner:
    """The stages of plans for one process: data sets and teachers stay open between cells.

    Each method named after a stage returns its artifact, made if it is not in the cache.
    """

    def __init__(self, cache: Cache, ctx: Context, stage_done: StageDone) -> None:
        self.ctx = ctx
        self.artifacts = Artifacts(cache, ctx.device, stage_done)
        self._data: dict[str, RealData] = {}
        self._teachers: dict[Key, Network] = {}

    # -- inputs that stay open ---------------------------------------------------------------

    def open_data(self, named: NamedDataset) -> RealData:
        """Returns the images and labels of a data set."""
        key = repr(spell(named))
        if key not in self._data:
            self._data[key] = open_data(named, self.ctx, self.artifacts.cache)
        return self._data[key]

    def load_teacher(self, plan: Plan, teacher: PlannedTeacher) -> Network:
        """Returns a teacher of the plan, frozen; trains it first if it is not in the cache."""
        artifact = self.squeeze(plan, teacher)
        if artifact.key not in self._teachers:
            for key in set(self._teachers) - set(plan.teacher_names):
                del self._teachers[key]  # those of one plan at a time: they are large
            weights = NetworkWeights.from_tensors(artifact.tensors()).tensors
            self._teachers[artifact.key] = restore_network(
                teacher.architecture.part, plan.info, weights, self.ctx
            )
        return self._teachers[artifact.key]

    def load_label_teachers(self, plan: Plan) -> list[Network]:
        """Returns the teachers that are asked for labels."""
        return [self.load_teacher(plan, teacher) for teacher in plan.labelling]

    # -- stages --------------------------------------------------------------------------------

    def squeeze(self, plan: Plan, teacher: PlannedTeacher) -> Artifact:
        """Trains a teacher.

        Raises:
            DDBenchError: it is hardly better than chance.
        """
        data = self.open_data(plan.cell.dataset)

        def make(meter: Meter) -> Made:
            self._check_taps(plan)
            return squeeze(teacher.squeeze.spec, data, self.ctx, meter)

        artifact = self.artifacts.get(teacher.squeeze, make)
        check_teacher(artifact.card["report"]["teacher_top1"], data)
        return artifact

    def _check_taps(self, plan: Plan) -> None:
        """Checks that the teachers have the layers that the parts read, before any is trained.

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

    def compute_statistic(self, plan: Plan, teacher: PlannedTeacher, wanted: Statistic) -> Artifact:
        """Computes one statistic of a teacher, and in the same pass all that it still lacks."""
        by_part = {stage.spec.statistic: stage for stage in teacher.statistics}
        artifact = self.artifacts.load(by_part[wanted])
        if artifact is not None:
            return artifact
        upstream = self.squeeze(plan, teacher)
        # One lock for all of a teacher's: a pass computes whichever of them are missing.
        with self.artifacts.cache.lock(f"statistics-{upstream.key}"):
            missing = [s for s in by_part.values() if self.artifacts.load(s) is None]
            if by_part[wanted] in missing:  # else another process was faster
                self._compute_statistics(plan, teacher, missing, upstream)
        artifact = self.artifacts.load(by_part[wanted])
        assert artifact is not None
        return artifact

    def _compute_statistics(
        self, plan: Plan, teacher: PlannedTeacher, stages: list[PlannedStage], upstream: Artifact
    ) -> None:
        """Computes and stores statistics in one pass; each bears an equal part of the cost."""
        network, data = self.load_teacher(plan, teacher), self.open_data(plan.cell.dataset)
        with measure(self.ctx.device) as meter:
            wanted = [stage.spec.statistic for stage in stages]
            computed = compute_statistics(wanted, data, network, self.ctx, meter)
        assert meter.cost is not None
        shared = meter.cost.part(1 / len(stages))
        for stage, tensors in zip(stages, computed, strict=True):
            self.artifacts.store(stage, tensors, {}, shared, (upstream,))

    def find_atoms(self, plan: Plan, teacher: PlannedTeacher, stage: PlannedStage) -> Artifact:
        """Finds the atoms of every class for a target."""

        def features() -> Artifact:
            return self.compute_statistic(plan, teacher, stage.spec.target.statistic)

        def make(meter: Meter) -> Made:
            known = LabelledFeatures.from_tensors(features().tensors())
            return find_atoms(stage.spec, known, self.ctx, meter)

        return self.artifacts.get(stage, make, lambda: (features(),))

    def prepare(self, plan: Plan) -> Artifact | None:
        """Makes what the distiller wants ahead of any image; None if it wants nothing."""
        stage = plan.prepare
        if stage is None:
            return None

        def make(meter: Meter) -> Made:
            partial = self.artifacts.cache.partial(stage.stage, stage.key)
            return prepare(stage.spec, self.open_data(plan.cell.dataset), partial, self.ctx, meter)

        return self.artifacts.get(stage, make)

    def recover(self, plan: Plan) -> Artifact:
        """Makes the distilled images."""
        stage, spec = plan.recover, plan.recover.spec
        teachers = plan.teachers if needs_teacher(spec.distiller) else ()

        def upstream() -> list[Artifact]:
            above = []
            for teacher in teachers:
                above.append(self.squeeze(plan, teacher))
                above += [self.compute_statistic(plan, teacher, s) for s in spec.statistics]
                above += [self.find_atoms(plan, teacher, t) for t in teacher.targets if t]
            prepared = self.prepare(plan)
            return [*above, prepared] if prepared else above

        def hand_over(teacher: PlannedTeacher) -> Teacher:
            known = {s: self.compute_statistic(plan, teacher, s).tensors() for s in spec.statistics}
            atoms = [
                ClassAtoms.from_tensors(self.find_atoms(plan, teacher, t).tensors()) if t else None
                for t in teacher.targets
            ]
            return Teacher(self.load_teacher(plan, teacher), known, atoms)

        def make(meter: Meter) -> Made:
            partial = self.artifacts.cache.partial(stage.stage, stage.key)
            data, prepared = self.open_data(plan.cell.dataset), self.prepare(plan)
            pieces = PreparedPieces.from_tensors(prepared.tensors()).pieces if prepared else ()
            taught_by = [hand_over(teacher) for teacher in teachers]
            return recover(spec, data, taught_by, partial, self.ctx, meter, pieces)

        return self.artifacts.get(stage, make, upstream)

    def relabel(self, plan: Plan) -> Artifact | None:
        """Asks the teachers for labels ahead of training; None if they are asked later or never."""
        stage = plan.relabel
        if stage is None:
            return None

        def make(meter: Meter) -> Made:
            stream, teachers = self.open_stream(plan), self.load_label_teachers(plan)
            return relabel(stage.spec, stream, teachers, self.ctx, meter)

        return self.artifacts.get(
            stage, make, lambda: (*self.squeeze_label_teachers(plan), self.recover(plan))
        )

    def squeeze_label_teachers(self, plan: Plan) -> list[Artifact]:
        """Trains the teachers that are asked for labels."""
        return [self.squeeze(plan, teacher) for teacher in plan.labelling]

    # -- what students and evaluators read ---------------------------------------------------

    def load_distilled(self, plan: Plan) -> DistilledImages:
        """Returns the distilled set with its images, which a selection has in the training set."""
        distilled = DistilledImages.from_tensors(self.recover(plan).tensors())
        return distilled.look_up(self.open_data(plan.cell.dataset).train_images)

    def find_whitening(self, plan: Plan) -> Whitening | None:
        """Returns the whitening that the protocol puts in the place of normalisation, if any."""
        epsilon = plan.cell.protocol.zca
        data = self.open_data(plan.cell.dataset)
        return load_whitening(data, epsilon, self.artifacts.cache, self.ctx) if epsilon else None

    def open_stream(self, plan: Plan) -> Stream:
        """Returns the batches of the distilled set that every student of the plan sees."""
        distilled, training = self.load_distilled(plan), plan.cell.protocol.training
        return Stream(
            images=distilled.pixels,
            labels=distilled.labels,
            weights=distilled.weights,
            learned=distilled.soft_labels,
            info=plan.info,
            augmentation=training.augmentation,
            batch_size=training.batch_size,
            seed=derive_stream_seed(plan.cell.seed),
            device=self.ctx.device,
            stored=plan.cell.recipe.labeller.views,
            whitening=self.find_whitening(plan),
        )
