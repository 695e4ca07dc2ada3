"""Conformance of distillers, labellers and evaluators, which run on tiny stand-ins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddbench.api.distiller import Learned
from ddbench.api.errors import IncompatibleError
from ddbench.api.types import Metric
from ddbench.pipeline.scoring import lend
from ddbench.pipeline.stages.recovered import check_learnable, check_learned
from ddbench.testing.fakes import TinyProblem, tiny_batch, tiny_info, tiny_trial
from ddbench.testing.losses import check_statistics
from ddbench.testing.structure import check_loss, check_structure, finite, guarded, same

NEEDS = {
    "distiller": {"teacher", "objective", "networks"},
    "labeller": {"labels"},
    "evaluator": {"features", "images", "student"},
}
LENGTH = "iterations"
"""Name of the option that is lowered for a check, so that a distiller's loop takes moments."""


def _check_needs(kind: str, part: Any) -> Iterator[str]:
    needs = part.needs
    known = NEEDS[kind]
    if not isinstance(needs, frozenset) or not needs <= known:
        yield f"needs is {needs!r}, expected a frozenset out of {sorted(known)}"


# -- distillers ------------------------------------------------------------------------------------


def check_distiller(part: Any) -> Iterator[str]:
    """Checks counts and groups, then recovers every group of a tiny problem in both orders."""
    if isinstance(getattr(part, LENGTH, None), int):
        part = dataclasses.replace(part, **{LENGTH: min(getattr(part, LENGTH), 3)})
    yield from _check_needs("distiller", part)
    if part.makes not in ("pixels", "indices"):
        yield f"makes is {part.makes!r}, expected pixels or indices"
        return
    if part.statistics and "teacher" not in part.needs:
        yield 'declares statistics without "teacher" in `needs`'
        return
    yield from check_statistics(part)
    if part.preparation is not None:
        yield from _check_preparation(part)
    yield from guarded("counts", lambda: _check_counts(part))
    yield from guarded("batches", lambda: _check_batches(part))
    yield from guarded("recover", lambda: _check_recover(part))


def _check_preparation(part: Any) -> Iterator[str]:
    """Checks that the pieces of a preparation depend on their numbers alone."""
    if "networks" not in part.needs:
        yield 'has a preparation without "networks" in `needs`'
        return
    preparation = part.preparation
    yield from check_structure("preparation", preparation)
    if not isinstance(preparation.pieces, int) or preparation.pieces < 1:
        yield f"the preparation has {preparation.pieces!r} pieces, expected a whole number above 0"
        return
    yield from guarded("preparation", lambda: _check_pieces(preparation, part.needs))


def _check_pieces(preparation: Any, needs: frozenset[str]) -> Iterator[str]:
    numbers = range(min(2, preparation.pieces))
    problem = TinyProblem(needs=needs)
    pieces = [preparation.piece(problem, number) for number in numbers]
    expected = preparation.updates(problem.info) * len(pieces)
    if problem.ticks != expected:
        yield f"a piece calls tick {problem.ticks} times, updates says {expected}"
    if not all(isinstance(piece, Tensor) and finite(piece) for piece in pieces):
        yield "a piece of the preparation is not a finite tensor"
    elif not same(preparation.piece(TinyProblem(needs=needs), numbers[-1]), pieces[-1]):
        yield "a piece has other numbers without those before it: draw from problem.rng"


def _check_counts(part: Any) -> Iterator[str]:
    info = tiny_info()
    for ipc in (2, None):
        counts = part.counts(info, ipc)
        if not isinstance(counts, tuple) or len(counts) != info.num_classes:
            yield f"counts gave {counts!r}, expected a tuple of {info.num_classes}"
        elif not all(isinstance(count, int) and count >= 0 for count in counts):
            yield f"counts gave {counts!r}, expected whole numbers"


def _check_batches(part: Any) -> Iterator[str]:
    for labels in ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 2, 2, 2, 2], [1]):
        groups = part.batches(torch.tensor(labels))
        rows = sorted(torch.cat([group.flatten() for group in groups]).tolist())
        if rows != list(range(len(labels))):
            yield f"batches divides the classes {labels} into {rows}: every image once"


def _check_recover(part: Any) -> Iterator[str]:
    info = tiny_info()
    classes = torch.arange(info.num_classes)
    labels = classes.repeat_interleave(torch.tensor(part.counts(info, 2)))
    problem = TinyProblem(needs=part.needs, labels=labels, distiller=part)
    groups = part.batches(labels)
    check_learnable(part, len(groups))
    recovered = []
    for group in groups:
        expected = part.iterations_of(problem, group)
        before = problem.ticks
        recovered.append(_recover(part, problem, group))
        if problem.ticks - before != expected:
            ticks = problem.ticks - before
            yield f"recover calls tick {ticks} times, iterations_of says {expected}"
        learned = recovered[-1]
        wrong = list(_check_recovered(part, problem, group, learned.images))
        yield from wrong
        if wrong:
            return
        check_learned(part, learned, len(group), info.num_classes)
    fresh = TinyProblem(needs=part.needs, labels=labels, distiller=part)
    for group, first in reversed(list(zip(groups, recovered, strict=True))):
        again = _recover(part, fresh, group)
        if not all(same(getattr(again, f.name), getattr(first, f.name)) for f in fields(Learned)):
            yield "recover gives a group other numbers in another order: draw from problem.rng"
            return


def _recover(part: Any, problem: TinyProblem, group: Tensor) -> Learned:
    recovered = part.recover(problem, group)
    return recovered if isinstance(recovered, Learned) else Learned(recovered)


def _check_recovered(
    part: Any, problem: TinyProblem, group: Tensor, recovered: Tensor
) -> Iterator[str]:
    """Checks the images, or the rows of real ones, that a distiller returned for a group."""
    if part.makes == "pixels":
        wanted = [len(group), *problem.info.shape]
        if list(recovered.shape) != wanted or not recovered.dtype.is_floating_point:
            yield f"recover gave {recovered.dtype} {list(recovered.shape)}, expected float {wanted}"
        elif not finite(recovered):
            yield "recover gave images that are not finite"
        return
    if list(recovered.shape) != [len(group)] or recovered.dtype != torch.long:
        shape = f"{recovered.dtype} {list(recovered.shape)}"
        yield f"recover gave {shape}, expected int64 [{len(group)}]"
        return
    for row, index in zip(group.tolist(), recovered.tolist(), strict=True):
        cls = int(problem.labels[row])
        if index not in problem.real_indices(cls).tolist():
            yield f"recover chose row {index} for class {cls}, to which it does not belong"
            return


# -- labellers -------------------------------------------------------------------------------------


def check_labeller(part: Any) -> Iterator[str]:
    """Checks a labeller's loss on mixed and on plain batches, with the answers that it asks for."""
    if part.asks not in ("nobody", "once", "views"):
        yield f"asks is {part.asks!r}, expected nobody, once or views"
        return
    if not isinstance(part.stored, bool):
        yield f"stored is {part.stored!r}, expected a bool"
    elif part.stored and part.asks != "views":
        yield 'stored is true, but only answers about "views" can be stored'
    yield from _check_needs("labeller", part)
    for share in (0.7, 1.0):
        yield from guarded("loss", partial(_check_labels, part, share))


def _check_labels(part: Any, share: float) -> Iterator[str]:
    batch = tiny_batch(share=share)
    rng = torch.Generator().manual_seed(0)
    rows, classes = len(batch.labels), tiny_info().num_classes
    student = torch.randn(rows, classes, generator=rng).requires_grad_(True)
    teacher = 3 * torch.randn(rows, classes, generator=rng)
    given = None if part.asks == "nobody" else teacher.clone()
    if part.views is not None:  # answers come with the views that it brings
        batch = dataclasses.replace(batch, answers=teacher.clone())
    if part.needs:
        batch = dataclasses.replace(batch, learned=teacher.softmax(1))
    value = part.loss(student, batch, given)
    wrong = list(check_loss("loss", value))
    yield from wrong
    if wrong:
        return
    slope = None
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value, [student], allow_unused=True)
    if slope is None or not slope.any():
        yield "loss has no gradient to the student's logits"
    elif not finite(slope):
        yield "the gradient of loss is not finite"
    if given is not None and not same(given, teacher):
        yield "loss changes the teacher's logits"
    if part.loss(student, batch, given).item() != value.item():
        yield "loss differs from call to call"


# -- evaluators ------------------------------------------------------------------------------------


def check_evaluator(part: Any) -> Iterator[str]:
    """Checks the metrics that an evaluator declares, and its numbers for them on a tiny trial."""
    names = [metric.name for metric in part.metrics if isinstance(metric, Metric)]
    if not isinstance(part.metrics, tuple) or len(names) != len(part.metrics) or not names:
        yield "metrics is not a tuple of one or more Metric"
        return
    if len(set(names)) != len(names):
        yield f"declares a metric twice: {', '.join(names)}"
    wrong = list(_check_needs("evaluator", part))
    yield from wrong
    if not wrong:
        yield from guarded("evaluate", lambda: _check_numbers(part, names))


def _check_numbers(part: Any, names: list[str]) -> Iterator[str]:
    trial = lend(tiny_trial(), part.needs)
    kept = trial.logits.clone(), trial.labels.clone()
    try:
        numbers = part.evaluate(trial)
    except IncompatibleError:  # an answer
        return
    if not isinstance(numbers, Mapping) or not numbers:
        yield f"evaluate gave {numbers!r}, expected a mapping from metric to number"
        return
    extra = sorted(set(numbers) - set(names))
    if extra:
        yield f"evaluate reports {', '.join(extra)}, declared: {', '.join(names)}"
    for name, value in numbers.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            yield f"evaluate gave {name} = {value!r}, expected a finite float"
    if not same(trial.logits, kept[0]) or not same(trial.labels, kept[1]):
        yield "evaluate changes the trial"
    if not same(dict(part.evaluate(lend(tiny_trial(), part.needs))), dict(numbers)):
        yield "evaluate differs from call to call"
