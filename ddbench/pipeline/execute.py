"""Runs plans, one cell after the other; a cell that fails is a record, and stops no other."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ddbench.api.errors import DDBenchError, DivergedError, IncompatibleError
from ddbench.api.features import Features, feature_tap
from ddbench.api.roles import Evaluator, shown_of
from ddbench.api.types import FeatureSample, Tensors, Trial
from ddbench.observers import tell
from ddbench.pipeline.plan import Plan, cell_key
from ddbench.pipeline.recording import configuration_of, names_of, relabelled
from ddbench.pipeline.scoring import judged
from ddbench.pipeline.specs import STAGES
from ddbench.registry import Registry
from ddbench.runtime.context import Context
from ddbench.runtime.environment import environment_card
from ddbench.runtime.memory import is_out_of_memory, let_go
from ddbench.store.cache import Artifact, Cache
from ddbench.store.files import explained
from ddbench.store.keys import spell
from ddbench.store.records import LearningCurve, Record, Records, StageCost, Status, joined

if TYPE_CHECKING:  # what computes is imported by cells that need it: a finished grid has none
    from ddbench.pipeline.runner import Workshop


@dataclass(slots=True)
class Outcome:
    """What a run did."""

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
    workshop: Workshop | None = None
    with ctx.progress.stage("cells", len(plans)) as advance:
        for plan in plans:
            found = records.get(plan.key)
            if found is not None and found.status == "ok" and _covers(found, evaluators):
                outcome.records.append(relabelled(found, plan))
                advance(1)
                continue
            if workshop is None:
                from ddbench.pipeline.runner import Workshop

                workshop = Workshop(cache, ctx, _observer(registry), plans)
            record = run_cell(plan, evaluators, workshop, command)
            # The same trials may have been judged before without looking through a teacher.
            earlier = found or records.get(cell_key([stage.key for stage in plan.evaluate]))
            if earlier is not None:
                record = joined(record, earlier)
            # A finished result outlives an evaluator that fails on its stored trial.
            if found is None or found.status != "ok" or record.status == "ok":
                with explained(cache.root):
                    records.put(record)
            tell(registry.manager, "ddbench_cell_done", record=record.model_copy(deep=True))
            outcome.records.append(record)
            outcome.computed += 1
            if record.status != "ok":
                ctx.progress.say(f"{_name(plan)}: {record.status}: {record.reason}")
            advance(1)
    return outcome


def run_cell(
    plan: Plan, evaluators: Mapping[str, Evaluator], workshop: Workshop, command: str
) -> Record:
    """One cell's record, whatever happens."""
    try:
        return _measured(plan, evaluators, workshop, command)
    except IncompatibleError as fault:
        return _failure(plan, "incompatible", str(fault), command)
    except DivergedError as fault:
        return _failure(plan, "diverged", str(fault), command)
    except DDBenchError as fault:
        return _failure(plan, "error", str(fault), command)
    except Exception as fault:
        if is_out_of_memory(fault):
            let_go(fault)
            reason = (str(fault).splitlines() or ["out of memory"])[0]
            return _failure(plan, "oom", reason, command)
        # A bug: told as one, and the other cells go on.
        where = "".join(traceback.format_exception(fault)[-3:]).strip()
        return _failure(plan, "error", f"{type(fault).__name__}: {fault}\n{where}", command)


def _measured(
    plan: Plan, evaluators: Mapping[str, Evaluator], workshop: Workshop, command: str
) -> Record:
    metrics, trials, curves = [], [], []
    for run in range(len(plan.evaluate)):
        artifact = workshop.evaluated(plan, run)
        trials.append(artifact)
        tensors = artifact.tensors()
        trial = _trial(plan, run, tensors, workshop)
        found: dict[str, float] = {}
        for name, evaluator in evaluators.items():
            found.update(judged(name, evaluator, trial))
        metrics.append(found)
        if "training_loss" in tensors:
            curves.append(LearningCurve.of(tensors["training_loss"].tolist()))
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
            "costs": _costs(trials, workshop),
            **_bytes(plan, workshop),
        }
    )


def _named(report: Mapping[str, float], teachers: Mapping[str, str], key: str) -> dict[str, float]:
    """A stage's figures; those of a teacher bear its name where there are several."""
    several = len(teachers) > 1 and key in teachers
    return {f"{name}.{teachers[key]}" if several else name: v for name, v in report.items()}


def _student_keys(plan: Plan, evaluators: Mapping[str, Evaluator]) -> dict[str, list[str]]:
    """Of stored students, so that `ddbench cache gc` keeps them."""
    if not any("student" in getattr(e, "needs", ()) for e in evaluators.values()):
        return {}
    from ddbench.pipeline.runner import student_stage

    return {"student": [student_stage(plan, run).key for run in range(len(plan.evaluate))]}


def _trial(plan: Plan, run: int, tensors: Tensors, workshop: Workshop) -> Trial:
    return Trial(
        logits=tensors["logits"],
        labels=tensors["labels"],
        info=plan.info,
        seed=plan.cell.seed,
        distilled=lambda: workshop.distilled(plan).as_set(),
        features=lambda: feature_sample(plan, workshop),
        test_images=lambda: workshop.data(plan.cell.dataset).test_images,
        student=_student(plan, run, workshop),
    )


def _student(plan: Plan, run: int, workshop: Workshop) -> Callable[[torch.Tensor], torch.Tensor]:
    """Its answers to any images; the student is opened when it is asked first."""
    from ddbench.training.loop import predict

    network = functools.cache(lambda: workshop.student(plan, run))
    whitening = functools.cache(lambda: workshop.whitening(plan))
    return lambda images: predict(network().module, images, plan.info, workshop.ctx, whitening())


def feature_sample(plan: Plan, workshop: Workshop) -> FeatureSample:
    """Teacher features of the real images, from the statistics stage, and of the distilled ones."""
    from ddbench.nn.probe import Probe
    from ddbench.training.batches import pixels

    first = plan.teachers[0]
    # A teacher that nothing needed so far is trained here: gradients are off for the probe alone.
    real = workshop.statistic(plan, first, Features()).tensors()
    teacher, made = workshop.network(plan, first), workshop.distilled(plan)
    tap = feature_tap(teacher)
    rows = []
    with torch.no_grad(), Probe(teacher, [tap], workshop.ctx) as probe:
        for chunk in made.images.split(250):
            acts = probe(pixels(chunk.to(workshop.ctx.device), plan.info))
            rows.append(acts.taps[tap]["features"].cpu())
    return FeatureSample(
        real["features"], real["labels"], torch.cat(rows), made.labels, made.weights
    )


def _covers(record: Record, evaluators: Mapping[str, Evaluator]) -> bool:
    return all(record.evaluators.get(name) == spell(e) for name, e in evaluators.items())


def _costs(trials: Sequence[Artifact], workshop: Workshop) -> list[StageCost]:
    """Every stage behind the trials, once, in running order."""
    found: dict[str, StageCost] = {}
    for artifact in trials:
        above = {**artifact.card["lineage"]}
        above[artifact.key] = {"stage": artifact.stage, "cost": artifact.cost}
        for key, entry in above.items():
            cached = key not in workshop.made
            found[key] = StageCost(stage=entry["stage"], key=key, cached=cached, **entry["cost"])
    return sorted(found.values(), key=lambda cost: STAGES.index(cost.stage))


def _bytes(plan: Plan, workshop: Workshop) -> dict[str, int]:
    """What a distilled set takes: its images as bytes, its labels as they are stored, and the
    teacher where labels are its answers to what students are shown."""
    shown = len(workshop.recovered(plan).tensors()["labels"])
    count = shown // shown_of(plan.cell.recipe.distiller)
    channels, height, width = plan.info.shape
    labels = 8 * count + getattr(plan.cell.recipe.labeller, "kept_bytes", 0)
    stored = workshop.relabelled(plan)
    if stored is not None:
        labels += _tensor_bytes(stored)
    asked = plan.cell.recipe.labeller.asks == "views" and stored is None
    return {
        "image_bytes": count * channels * height * width,
        "label_bytes": labels,
        "teacher_bytes": sum(
            _tensor_bytes(workshop.squeezed(plan, teacher))
            for teacher in (plan.labelling if asked else ())
        ),
    }


def _tensor_bytes(artifact: Artifact) -> int:
    return (artifact.path / "tensors.safetensors").stat().st_size


def _failure(plan: Plan, status: Status, reason: str, command: str) -> Record:
    return _base(plan, status, command).model_copy(update={"reason": reason})


def _base(plan: Plan, status: Status, command: str) -> Record:
    cell = plan.cell
    keys: dict[str, list[str]] = {}
    for stage in plan.stages():
        keys.setdefault(stage.stage, []).append(stage.key)
    if plan.looked:
        keys["looked"] = list(plan.looked)
    return Record(
        key=plan.key,
        status=status,
        ipc=cell.ipc,
        holdout=cell.dataset.holdout,
        teachers=list(dict.fromkeys(plan.teacher_names.values())),
        labels=plan.cell.labels,
        seed=cell.seed,
        precision=cell.precision,
        configuration=configuration_of(plan),
        given=dict(cell.overrides),
        keys=keys,
        environment=environment_card(),
        command=command,
        **names_of(plan),
    )


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
