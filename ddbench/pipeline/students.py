"""Trains the students of plans, side by side where they learn from the same labelled batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from torch import nn

from ddbench.api.types import Network
from ddbench.nn.build import restore_network
from ddbench.pipeline.artifacts import Made
from ddbench.pipeline.plan import Plan, PlannedStage, same_batches
from ddbench.pipeline.results import NetworkWeights, StoredLabels, StudentTrial
from ddbench.pipeline.runner import Runner
from ddbench.pipeline.stages.evaluate import Student, evaluate, warn_unless_same
from ddbench.runtime.cost import Cost, Meter, measure
from ddbench.runtime.memory import is_out_of_memory
from ddbench.store.cache import Artifact
from ddbench.store.keys import Key

MOST_STUDENTS = 8
"""Trained side by side at most: weights and optimiser states of all are in memory."""


class Students:
    """The students of plans, trained on what a runner makes."""

    def __init__(self, runner: Runner, plans: Sequence[Plan] = ()) -> None:
        """`plans` are all that will be asked for: their students may be trained side by side."""
        self.runner = runner
        self._by_inputs: dict[tuple[Key, ...], list[PlannedStage]] = defaultdict(list)
        for stage in (stage for plan in plans for stage in plan.evaluate):
            self._by_inputs[stage.inputs].append(stage)
        self._at_hand: dict[Key, nn.Module] = {}
        """The students trained last, under the keys of their trials."""

    def evaluate(self, plan: Plan, run: int) -> Artifact:
        """Trains one student and returns its trial; stored trials are loaded.

        Students of these and other cells that learn from the same labelled batches are trained
        beside it and stored too.
        """
        stage, artifacts = plan.evaluate[run], self.runner.artifacts
        artifact = artifacts.load(stage)
        if artifact is not None:
            return artifact
        with artifacts.cache.lock(stage.key):
            artifact = artifacts.load(stage)  # another process was faster
            if artifact is not None:
                return artifact
            others = self._untrained_beside(stage)
            with artifacts.cache.locks(others) as free:
                student = self._train_and_store(plan, [stage, *(others[key] for key in free)])
            if free and student.fault is not None and is_out_of_memory(student.fault):
                student = self._train_and_store(plan, [stage])
            if student.fault is not None:
                raise student.fault
        artifact = artifacts.load(stage)
        assert artifact is not None
        return artifact

    def load(self, plan: Plan, run: int) -> Network:
        """Returns the student of a trial; it is stored by whoever asks for it first.

        It is trained again where only its logits are left.
        """
        trial = self.evaluate(plan, run)

        def make(meter: Meter) -> Made:
            if trial.key not in self._at_hand:
                stored = StudentTrial.from_tensors(trial.tensors())
                threads = None if stored.threads is None else int(stored.threads)
                (again,), _ = self._train(plan, [plan.evaluate[run]], threads)
                if again.trial is None:
                    assert again.fault is not None
                    raise again.fault
                warn_unless_same(stored.logits, again.trial.logits)
            return NetworkWeights(self._at_hand[trial.key].state_dict()), {}

        artifact = self.runner.artifacts.get(student_stage(plan, run), make, lambda: (trial,))
        weights = NetworkWeights.from_tensors(artifact.tensors()).tensors
        return restore_network(plan.cell.student.part, plan.info, weights, self.runner.ctx)

    def _untrained_beside(self, stage: PlannedStage) -> dict[Key, PlannedStage]:
        """Returns students that are still to be trained and may be so beside one, by their keys."""
        has = self.runner.artifacts.cache.has
        alike = {
            other.key: other
            for other in self._by_inputs[stage.inputs]
            if same_batches(stage, other) and not has(other.stage, other.key)
        }
        alike.pop(stage.key, None)
        return dict(islice(alike.items(), MOST_STUDENTS - 1))

    def _train_and_store(self, plan: Plan, stages: Sequence[PlannedStage]) -> Student:
        """Trains students, stores those that went well, and returns the first."""
        students, cost = self._train(plan, stages)
        labels = self.runner.relabel(plan)
        sources = [labels] if labels else []
        if labels is None and _asks_views(plan):
            sources = self.runner.squeeze_label_teachers(plan)
        upstream = (self.runner.recover(plan), *sources)
        for stage, student in zip(stages, students, strict=True):
            if student.trial is not None:
                tensors, shared = student.trial.to_tensors(), cost.part(student.share)
                self.runner.artifacts.store(stage, tensors, student.report, shared, upstream)
        return students[0]

    def _train(
        self, plan: Plan, stages: Sequence[PlannedStage], threads: int | None = None
    ) -> tuple[list[Student], Cost]:
        """Trains students side by side; they stay at hand until others are trained."""
        runner = self.runner
        labels = runner.relabel(plan)
        stored = StoredLabels.from_tensors(labels.tensors()) if labels else None
        ask = _asks_views(plan) and labels is None
        teachers = runner.load_label_teachers(plan) if ask else []
        data, stream = runner.open_data(plan.cell.dataset), runner.open_stream(plan)
        rate = None
        if plan.cell.protocol.learned_rate:
            rate = runner.load_distilled(plan).learned_rate
        self._at_hand.clear()
        with measure(runner.ctx.device) as meter:
            specs = [stage.spec for stage in stages]
            students = evaluate(specs, data, stream, teachers, stored, runner.ctx, threads, rate)
        for stage, student in zip(stages, students, strict=True):
            if student.module is not None:
                self._at_hand[stage.key] = student.module
        assert meter.cost is not None
        return students, meter.cost


def _asks_views(plan: Plan) -> bool:
    return plan.cell.recipe.labeller.asks == "views"


def student_stage(plan: Plan, run: int) -> PlannedStage:
    """Returns the stage that holds the weights of a student, beside that of its trial."""
    return replace(plan.evaluate[run], stage="student")
