"""Runs plans, one cell after the other; a cell that fails is a record, and stops no other."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddbench.api.errors import DDBenchError, DivergedError, IncompatibleError
from ddbench.api.record import LearningCurve, Record, Status
from ddbench.api.roles import Evaluator
from ddbench.pipeline.plan import Plan, cell_key
from ddbench.pipeline.recording import (
    _base,
    _bytes,
    _costs,
    _named,
    _student_keys,
    rename_record,
)
from ddbench.pipeline.results import StudentTrial
from ddbench.pipeline.scoring import _trial, judge
from ddbench.registry import Registry, tell
from ddbench.runtime.context import Context
from ddbench.runtime.memory import is_out_of_memory, let_go
from ddbench.store.cache import Cache
from ddbench.store.files import explain_faults
from ddbench.store.keys import spell
from ddbench.store.records import Records, merge_earlier

if TYPE_CHECKING:  # what computes is imported by cells that need it: a finished grid has none
    from ddbench.pipeline.students import Students


@dataclass(slots=True)
class Outcome:
    """Records and failures of a run."""

    records: list[Record] = field(default_factory=list)
    computed: int = 0
    """Cells for which something was computed; the others were finished before."""

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records if record.status != "ok"]


def execute(
    plans: Sequence[Plan],
    evaluators: Mapping[str, Evaluator],
    registry: Registry,
    cache: Cache,
    ctx: Context,
    command: str = "",
) -> Outcome:
    """Every plan's record, from the record folder where it is finished, else by running it.

    Failed cells are tried again. A cell whose record lacks an evaluator gets it from the stored
    trial: nothing is trained, and what other evaluators found before stays.
    """
    records = Records(cache.root / "records")
    outcome = Outcome()
    students: Students | None = None
    with ctx.progress.stage("cells", len(plans)) as advance:
        for plan in plans:
            found = records.get(plan.key)
            if found is not None and found.status == "ok" and _covers(found, evaluators):
                outcome.records.append(rename_record(found, plan))
                advance(1)
                continue
            if students is None:
                from ddbench.pipeline.runner import Runner
                from ddbench.pipeline.students import Students

                students = Students(Runner(cache, ctx, _observer(registry)), plans)
            record = run_cell(plan, evaluators, students, command)
            # The same trials may have been judged before without looking through a teacher.
            earlier = found or records.get(cell_key([stage.key for stage in plan.evaluate]))
            if earlier is not None:
                record = merge_earlier(record, earlier)
            # A finished result outlives an evaluator that fails on its stored trial.
            if found is None or found.status != "ok" or record.status == "ok":
                with explain_faults(cache.root):
                    records.put(record)
            tell(registry.manager, "ddbench_cell_done", record=record.model_copy(deep=True))
            outcome.records.append(record)
            outcome.computed += 1
            if record.status != "ok":
                ctx.progress.say(f"{_name(plan)}: {record.status}: {record.reason}")
            advance(1)
    return outcome


def run_cell(
    plan: Plan, evaluators: Mapping[str, Evaluator], students: Students, command: str
) -> Record:
    """One cell's record, whatever happens."""
    try:
        return _measured(plan, evaluators, students, command)
    except DDBenchError as fault:
        status: Status = "error"
        if isinstance(fault, IncompatibleError | DivergedError):
            status = "incompatible" if isinstance(fault, IncompatibleError) else "diverged"
        reason = str(fault)
    except Exception as fault:
        if is_out_of_memory(fault):
            let_go(fault)
            status, reason = "oom", (str(fault).splitlines() or ["out of memory"])[0]
        else:  # a bug: told as one, and the other cells go on
            where = "".join(traceback.format_exception(fault)[-3:]).strip()
            status, reason = "error", f"{type(fault).__name__}: {fault}\n{where}"
    return _base(plan, status, command).model_copy(update={"reason": reason})


def _measured(
    plan: Plan, evaluators: Mapping[str, Evaluator], students: Students, command: str
) -> Record:
    metrics, trials, curves = [], [], []
    for run in range(len(plan.evaluate)):
        artifact = students.evaluate(plan, run)
        trials.append(artifact)
        answers = StudentTrial.from_tensors(artifact.tensors())
        trial = _trial(plan, run, answers, students)
        found: dict[str, float] = {}
        for name, evaluator in evaluators.items():
            found.update(judge(name, evaluator, trial))
        metrics.append(found)
        if answers.training_loss is not None:
            curves.append(LearningCurve.from_losses(answers.training_loss.tolist()))
    reports: dict[str, float] = {}
    for artifact in trials[:1]:
        for key, above in artifact.card["lineage"].items():
            reports.update(_named(above["report"], plan.teacher_names, key))
        reports.update(artifact.card["report"])
    declared = {m.name: m for e in evaluators.values() for m in e.metrics}
    base = _base(plan, "ok", command)
    return base.model_copy(
        update={
            "keys": {**base.keys, **_student_keys(plan, evaluators)},
            "metrics": metrics,
            "learning_curves": curves,
            "evaluators": {name: spell(e) for name, e in evaluators.items()},
            "directions": {
                name: m.higher_is_better
                for name, m in declared.items()
                if m.higher_is_better is not None
            },
            "units": {name: m.unit for name, m in declared.items()},
            "reports": reports,
            "costs": _costs(trials, students.runner.artifacts.made),
            **_bytes(plan, students.runner),
        }
    )


def _covers(record: Record, evaluators: Mapping[str, Evaluator]) -> bool:
    return all(record.evaluators.get(name) == spell(e) for name, e in evaluators.items())


def _observer(registry: Registry) -> Any:
    def stage_done(
        stage: str, key: str, seconds: float, peak_bytes: int | None, cached: bool
    ) -> None:
        told = {"stage": stage, "key": key, "seconds": seconds, "cached": cached}
        tell(registry.manager, "ddbench_stage_done", peak_bytes=peak_bytes, **told)

    return stage_done


def _name(plan: Plan) -> str:
    cell = plan.cell
    return f"{cell.method}, {cell.dataset.name}, seed {cell.seed}"
