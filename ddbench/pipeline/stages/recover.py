"""recover: a distiller makes the images, group by group; finished groups survive a kill."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddbench.api.errors import DDBenchError, DDBenchWarning, DivergedError
from ddbench.api.roles import Statistic
from ddbench.api.types import Network, Tensors
from ddbench.data.real import RealData
from ddbench.nn.probe import Probe
from ddbench.pipeline.results import ClassAtoms, DistilledImages
from ddbench.pipeline.specs import Recover, RecoverAnew
from ddbench.pipeline.stages.groups import CHECK_EVERY, Losses, clear_on_fault
from ddbench.pipeline.stages.problem import RecoverProblem, Taught, Term
from ddbench.pipeline.stages.recovered import check_learnable, check_recovered, keep, names_kept
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.runtime.memory import is_out_of_memory, let_go
from ddbench.store.cache import GROUP, PartialGroups


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher as the stage is handed it."""

    network: Network
    """Frozen."""
    known: Mapping[Statistic, Tensors]
    """Statistics by their specification, on any device."""
    atoms: Sequence[ClassAtoms | None]
    """Of each matcher, in order; None for those without a target."""


def recover(
    spec: Recover,
    data: RealData,
    teachers: Sequence[Teacher],
    partial: PartialGroups,
    ctx: Context,
    meter: Meter,
    prepared: Sequence[Tensor] = (),
) -> tuple[DistilledImages, dict[str, float]]:
    """Makes the images of a distilled set, or chooses them; returns the set and a report.

    Images are bytes, or floating pixels where the distiller is `exact`. Beside them are what the
    distiller `learns`: `soft_labels` [n k] and `rate` [].

    Args:
        spec: What to do.
        data: The real data.
        teachers: The cell's own first; none where the distiller needs none.
        partial: Where finished groups are kept until all are.
        ctx: Device, precision, progress.
        meter: Counts iterations.
        prepared: The pieces of the distiller's preparation, if it has one.

    Raises:
        DivergedError: a loss or a pixel is not finite.
        DDBenchError: the distiller made something else than it was asked for.
    """
    labels = torch.repeat_interleave(torch.arange(data.info.num_classes), torch.tensor(spec.counts))
    weights = _weights(spec, labels, teachers[0].atoms if teachers else ())
    problem = RecoverProblem(
        info=data.info,
        labels=labels.to(ctx.device),
        weights=weights.to(ctx.device),
        device=ctx.device,
        seed=spec.seed,
        data=data,
        taught=[_taught(spec, teacher, ctx) for teacher in teachers],
        prepared=prepared,
        regularizers=spec.regularizers,
        architecture=spec.architecture if isinstance(spec, RecoverAnew) else None,
        ctx=ctx,
    )
    try:
        with clear_on_fault(partial):
            made, report = _all_groups(spec, problem, labels, partial, ctx, meter)
    finally:
        for probe in problem.teachers:
            probe.close()
    made["images" if spec.distiller.makes == "pixels" else "indices"] = made.pop(GROUP)
    return DistilledImages(**made, labels=labels, weights=weights), report


def _weights(
    spec: Recover, labels: Tensor, atoms: Sequence[ClassAtoms | None]
) -> Float[Tensor, " n"]:
    """The distiller's own, or those of the first teacher's first target, else equal ones; a class
    sums to 1."""
    own = spec.distiller.weights(labels)
    if own is not None:
        return own
    for found in atoms:
        if found is not None:
            return found.weights
    return 1.0 / torch.bincount(labels)[labels].float()


def _taught(spec: Recover, teacher: Teacher, ctx: Context) -> Taught:
    there = ctx.device
    terms = [
        Term(weight, matcher, None if found is None else found.points.to(there))
        for (weight, matcher), found in zip(spec.matchers, teacher.atoms, strict=True)
    ]
    known = {s: {n: t.to(there) for n, t in found.items()} for s, found in teacher.known.items()}
    taps = spec.taps(teacher.network)
    probe = Probe(teacher.network, taps, ctx, compiled=ctx.compile, checkpointed=ctx.checkpoint)
    return Taught(teacher.network, probe, terms, known)


def _all_groups(
    spec: Recover,
    problem: RecoverProblem,
    labels: Tensor,
    partial: PartialGroups,
    ctx: Context,
    meter: Meter,
) -> tuple[Tensors, dict[str, float]]:
    spec, partial, decided = _fitted(spec, problem, labels, partial)
    groups = spec.distiller.batches(labels)
    if sorted(torch.cat(groups).tolist()) != list(range(len(labels))):
        raise DDBenchError(
            f"{type(spec.distiller).__name__}.batches does not divide the images",
            f"expected every index from 0 to {len(labels) - 1} exactly once",
        )
    check_learnable(spec.distiller, len(groups))
    names = names_kept(spec.distiller)
    total = sum(spec.distiller.iterations_of(problem, group) for group in groups)
    result: Tensors = {}
    last = math.nan
    with ctx.progress.stage("recover: make the images", total) as advance:
        for number, group in enumerate(groups):
            done = partial.get(number, names)
            if done is None:
                fault = _diverged(number + 1, len(groups))
                losses = Losses(fault, advance, meter, 1 if ctx.device == "cpu" else CHECK_EVERY)
                problem.on_tick = losses
                made = _group(spec, problem, group)
                last = losses.last()  # a loss that is no number, before what came of it
                learned = check_recovered(spec.distiller, made, problem, group)
                done = keep(spec.distiller, learned, problem)
                partial.put(number, done)
            else:
                advance(spec.distiller.iterations_of(problem, group))
            _fill(result, done, group, len(labels))
    report = decided | ({} if math.isnan(last) else {"recover.final_loss": last})
    if "rate" in result:
        report["recover.learned_rate"] = result["rate"].item()
    if any(probe.compiled for probe in problem.teachers):
        report["recover.compiled"] = 1.0
    if any(probe.checkpointed for probe in problem.teachers):
        report["recover.checkpointed"] = 1.0
    return result, report


def _fill(result: Tensors, group: Tensors, rows: Int[Tensor, " b"], count: int) -> None:
    """Puts the tensors of a group into those of all `count` images; a rate has no rows."""
    for name, tensor in group.items():
        if not tensor.dim():
            result[name] = tensor
            continue
        if name not in result:
            result[name] = torch.empty(count, *tensor.shape[1:], dtype=tensor.dtype)
        result[name][rows] = tensor


def _group(spec: Recover, problem: RecoverProblem, group: Int[Tensor, " b"]) -> Any:
    """Recovers one group, unchecked; where there is no room, with activations computed again."""
    while True:
        problem.begin(int(group[0]))
        try:
            return spec.distiller.recover(problem, group)
        except Exception as fault:
            if not is_out_of_memory(fault) or not _checkpointed(problem):
                raise
            let_go(fault)
        warnings.warn(
            "recover: out of memory; going on with activations computed again instead of kept "
            "(--checkpoint), which takes about a third longer",
            DDBenchWarning,
            stacklevel=2,
        )


def _checkpointed(problem: RecoverProblem) -> bool:
    """Makes all teachers so; whether any was not."""
    return sum(probe.checkpoint() for probe in problem.teachers) > 0


def _fitted(
    spec: Recover, problem: RecoverProblem, labels: Tensor, partial: PartialGroups
) -> tuple[Recover, PartialGroups, dict[str, float]]:
    """Decides what the distiller leaves to the machine, and says so in the report.

    Groups of an interrupted run count where they were divided in the same way.
    """
    fitted = spec.distiller.fitted(problem, labels)
    names = [field.name for field in dataclasses.fields(fitted)]
    decided = {
        name: getattr(fitted, name)
        for name in names
        if getattr(fitted, name) != getattr(spec.distiller, name)
    }
    if not decided:
        return spec, partial, {}
    name = "-".join(f"{option}={value}" for option, value in decided.items())
    report = {
        f"recover.{option}": float(value)
        for option, value in decided.items()
        if not isinstance(value, bool)
    }
    return dataclasses.replace(spec, distiller=fitted), partial.divide(name), report


def _diverged(number: int, groups: int) -> Callable[[float, int], DivergedError]:
    return lambda value, iteration: DivergedError(
        f"recover: the loss is {value} at iteration {iteration}, group {number} of {groups}",
        hint="lower --set recover.lr=... or the weights of the losses",
    )
