"""Describes a cell in its record besides numbers: its names and its configuration.

Names are no part of a key. Two cells of other names can be the same work, and share a record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Claim
from ddbench.api.record import PublishedFigure, Record, StageCost, Status
from ddbench.api.roles import Evaluator
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.plan import Plan
from ddbench.pipeline.results import DistilledImages
from ddbench.pipeline.specs import STAGES
from ddbench.runtime.environment import describe_environment
from ddbench.store.cache import Artifact
from ddbench.store.keys import spell

if TYPE_CHECKING:  # what computes is imported by cells that need it: a finished grid has none
    from ddbench.pipeline.runner import Runner


def name_cell(plan: Plan) -> dict[str, Any]:
    """Fields of a record that say what its cell is called in this run."""
    cell = plan.cell
    claims = [_published(claim) for claim in find_claims(plan)]
    return {
        "method": cell.recipe.name,
        "title": cell.recipe.card.title or cell.method,
        "variant": "" if cell.method == cell.recipe.name else cell.method,
        "baseline": cell.recipe.baseline,
        "dataset": cell.dataset.name,
        "teacher": "+".join(_label_teachers(plan)),
        "student": cell.student.name,
        "protocol": cell.protocol.name,
        "profile": cell.profile,
        "claim": next((c for c in claims if c.metric == "top1"), None),
        "cost_claims": [c for c in claims if c.metric != "top1"],
    }


def describe_configuration(plan: Plan) -> dict[str, Any]:
    """Every option of a cell, given or defaulted, and what its data are."""
    cell = plan.cell
    configuration: dict[str, Any] = {
        "recipe": {
            "squeeze": spell(cell.recipe.squeeze),
            "matchers": spell(cell.recipe.matchers),
            "regularizers": spell(cell.recipe.regularizers),
            "distiller": spell(cell.recipe.distiller),
            "labeller": spell(cell.recipe.labeller),
        },
        "protocol": spell(cell.protocol),
        "teacher": spell(cell.teacher.part),
        "student": spell(cell.student.part),
        "classes": list(plan.info.classes),
        "shape": list(plan.info.shape),
        "mean": list(plan.info.mean),
        "std": list(plan.info.std),
        "fingerprint": plan.info.fingerprint,
        "train_images": sum(plan.info.train_counts),
        "test_images": sum(plan.info.test_counts),
        "teacher_seed": cell.teacher_seed,
    }
    if cell.companions:
        configuration["companions"] = spell(cell.companions)
    if cell.recipe.label_squeeze is not None:
        configuration["recipe"]["label_squeeze"] = spell(cell.recipe.label_squeeze)
        configuration["labelled_by"] = [teacher.squeeze.key for teacher in plan.labelling]
    return configuration


def rename_record(record: Record, plan: Plan) -> Record:
    """A finished record under the names of this run."""
    told = name_cell(plan)
    if "squeeze" not in record.keys:  # then the teacher that it tells of may be another one
        told |= {"configuration": describe_configuration(plan), "given": dict(plan.cell.overrides)}
    return record.model_copy(update=told)


def check_data(record: Record, info: DatasetInfo) -> None:
    """Numbers of other data say nothing about the record's.

    Raises:
        DDBenchError: the data set here is not the one that the record was made on.
    """
    told = record.configuration
    if told.get("fingerprint") != info.fingerprint or tuple(told["classes"]) != info.classes:
        raise DDBenchError(
            f"{record.dataset} here is not the data that the record was made on",
            f"fingerprint here {info.fingerprint[:12]}, in the record "
            f"{str(told.get('fingerprint'))[:12]}",
            hint="`ddbench data info` says where it lies and what it should hold",
        )


def _published(claim: Claim) -> PublishedFigure:
    return PublishedFigure(
        value=claim.value, sd=claim.sd, source=claim.source, setting=claim.setting,
        metric=claim.metric,
    )  # fmt: skip


def _label_teachers(plan: Plan) -> list[str]:
    """Names whom students learn from; under hard labels the cell's own, as in rows beside it."""
    return [teacher.architecture.name for teacher in plan.labelling] or [plan.cell.teacher.name]


def find_claims(plan: Plan) -> list[Claim]:
    """The published figures for a cell, the first of each kind, whatever its resolution; none for
    held-out judgements."""
    cell = plan.cell
    if cell.dataset.holdout:
        return []
    family = cell.dataset.name.partition("@")[0]
    found: dict[str, Claim] = {}
    for claim in cell.recipe.card.claims:
        same = claim.dataset == family and claim.ipc == cell.ipc
        if same and claim.student in ("", cell.student.name):
            found.setdefault(claim.metric, claim)
    return list(found.values())


def _named(report: Mapping[str, float], teachers: Mapping[str, str], key: str) -> dict[str, float]:
    """A stage's figures; those of a teacher bear its name where there are several."""
    several = len(teachers) > 1 and key in teachers
    return {f"{name}.{teachers[key]}" if several else name: v for name, v in report.items()}


def _student_keys(plan: Plan, evaluators: Mapping[str, Evaluator]) -> dict[str, list[str]]:
    """Returns the keys of stored students, so that `ddbench cache gc` keeps them."""
    if not any("student" in e.needs for e in evaluators.values()):
        return {}
    from ddbench.pipeline.students import student_stage

    return {"student": [student_stage(plan, run).key for run in range(len(plan.evaluate))]}


def _costs(trials: Sequence[Artifact], made: Collection[str]) -> list[StageCost]:
    """Every stage behind the trials, once, in running order."""
    found: dict[str, StageCost] = {}
    for artifact in trials:
        above = {**artifact.card["lineage"]}
        above[artifact.key] = {"stage": artifact.stage, "cost": artifact.cost}
        for key, entry in above.items():
            cached = key not in made
            found[key] = StageCost(stage=entry["stage"], key=key, cached=cached, **entry["cost"])
    return sorted(found.values(), key=lambda cost: STAGES.index(cost.stage))


def _bytes(plan: Plan, runner: Runner) -> dict[str, int]:
    """Counts the bytes of a distilled set: its images, its labels as they are stored, and the
    teacher where labels are its answers to what students are shown."""
    distilled = DistilledImages.from_tensors(runner.recover(plan).tensors())
    shown, learned = len(distilled.labels), distilled.soft_labels
    count = shown // plan.cell.recipe.distiller.shown
    channels, height, width = plan.info.shape
    labels = 8 * count + plan.cell.recipe.labeller.kept_bytes
    labels += 0 if learned is None else learned.nbytes
    stored = runner.relabel(plan)
    if stored is not None:
        labels += _tensor_bytes(stored)
    asked = plan.cell.recipe.labeller.asks == "views" and stored is None
    return {
        "image_bytes": count * channels * height * width,
        "label_bytes": labels,
        "teacher_bytes": sum(
            _tensor_bytes(runner.squeeze(plan, teacher))
            for teacher in (plan.labelling if asked else ())
        ),
    }


def _tensor_bytes(artifact: Artifact) -> int:
    return (artifact.path / "tensors.safetensors").stat().st_size


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
        configuration=describe_configuration(plan),
        given=dict(cell.overrides),
        keys=keys,
        environment=describe_environment(),
        command=command,
        **name_cell(plan),
    )
