"""Conformance of matchers and regularizers, and of the targets and statistics that they own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.types import Atoms, Step, Tap
from ddbench.runtime.seeds import make_generator
from ddbench.testing.fakes import (
    collect,
    tiny_info,
    tiny_network,
    tiny_real,
    tiny_step,
)
from ddbench.testing.structure import check_loss, check_structure, finite, guarded, same


def check_matcher(part: Any) -> Iterator[str]:
    """Checks the statistics, the target and the loss of a matcher."""
    yield from check_statistics(part)
    if part.target is not None:
        yield from _prefix("target", check_target(part.target))
    yield from _check_term(part, part.loss, "loss")


def check_regularizer(part: Any) -> Iterator[str]:
    """Checks the statistics, the penalty and the memory of a regularizer."""
    yield from check_statistics(part)
    yield from _check_term(part, part.penalty, "penalty")
    yield from guarded("remember", lambda: _check_memory(part))


def _check_memory(part: Any) -> Iterator[str]:
    """Checks that a memory is tensors without a gradient and that the next penalty takes it."""
    try:
        step = tiny_step(part)
    except IncompatibleError:  # an answer: it needs what the tiny network lacks
        return
    memory = part.remember(step)
    tensors = isinstance(memory, Mapping) and all(isinstance(v, Tensor) for v in memory.values())
    if not tensors:
        yield f"remember gave {type(memory).__name__}, expected a mapping from name to tensor"
    elif any(value.requires_grad for value in memory.values()):
        yield "remember keeps the gradient of the step before: detach what it gives"
    else:
        later = tiny_step(part, known=step.known, memory=dict(memory))
        yield from check_loss("penalty at the second step", part.penalty(later))


def _prefix(what: str, problems: Iterator[str]) -> Iterator[str]:
    for problem in problems:
        yield f"{what}: {problem}"


# -- statistics ------------------------------------------------------------------------------------


def check_statistics(part: Any) -> Iterator[str]:
    """Checks every statistic that a part reads."""
    if not isinstance(part.statistics, tuple):
        yield f"statistics is a {type(part.statistics).__name__}, expected a tuple"
        return
    for statistic in part.statistics:
        yield from _prefix(type(statistic).__name__, check_statistic(statistic))


def check_statistic(part: Any) -> Iterator[str]:
    """Checks one pass over tiny data: the size of its batches must not show in the result."""
    structural = list(check_structure("statistic", part))
    yield from structural
    if not structural:
        yield from guarded("the pass", lambda: _check_pass(part))


def _check_pass(part: Any) -> Iterator[str]:
    info = tiny_info()
    network = tiny_network(info)
    try:
        taps = part.taps(network)
    except IncompatibleError:  # an answer: it needs what the tiny network lacks
        return
    yield from _check_taps(taps)
    whole = collect(part, network, info, batch=1000)
    if not isinstance(whole, Mapping) or not whole:
        yield "finish gave nothing"
        return
    strange = [name for name, value in whole.items() if not isinstance(value, Tensor)]
    if strange:
        yield f"finish gave values that are no tensors: {', '.join(strange)}"
        return
    parted = collect(part, network, info, batch=4)
    for name, value in whole.items():
        if value.dtype.is_floating_point and not finite(value):
            yield f"finish gave '{name}' that is not finite"
        elif name not in parted or not _close(value, parted[name]):
            yield f"'{name}' depends on the size of the batches"


def _close(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    return torch.allclose(first.double(), second.double(), rtol=1e-4, atol=1e-5)


def _check_taps(taps: Any) -> Iterator[str]:
    if not isinstance(taps, tuple) or not all(isinstance(tap, Tap) for tap in taps):
        yield "taps did not give a tuple of Tap"
        return
    for tap in taps:
        hash(tap)  # equal taps are reduced once


# -- targets ---------------------------------------------------------------------------------------


def check_target(part: Any) -> Iterator[str]:
    """Checks the atoms of one class: as many as asked for, the same for the same draws."""
    structural = list(check_structure("target", part))
    yield from structural
    if structural:
        return
    yield from _prefix("statistic", check_statistic(part.statistic))
    info = tiny_info()
    real = collect(part.statistic, tiny_network(info), info)
    if not {"features", "labels"} <= set(real):
        yield f"statistic gives {', '.join(real)}, expected `features` and `labels`"
        return
    features = real["features"][real["labels"] == 0].double()
    for count in (1, 3):
        yield from guarded(f"atoms for {count}", partial(_check_atoms, part, features, count))


def _check_atoms(part: Any, features: Tensor, count: int) -> Iterator[str]:
    kept = features.clone()
    first = part.atoms(features, count, make_generator(0, "targets"))
    second = part.atoms(features, count, make_generator(0, "targets"))
    if not isinstance(first, Atoms):
        yield f"atoms gave {type(first).__name__}, expected Atoms"
        return
    wanted = [count, features.shape[1]]
    if list(first.points.shape) != wanted or list(first.weights.shape) != [count]:
        shapes = f"points {list(first.points.shape)}, weights {list(first.weights.shape)}"
        yield f"atoms gave {shapes}, expected [m, d] = {wanted} and [{count}]"
        return
    if not finite(first.points) or not finite(first.weights):
        yield "atoms are not finite"
    if (first.weights < 0).any() or abs(first.weights.sum().item() - 1) > 1e-5:
        yield f"weights of atoms sum to {first.weights.sum().item():g}, expected 1, none below 0"
    if not same(first.points, second.points) or not same(first.weights, second.weights):
        yield "atoms differ for equal draws: take every random number from `rng`"
    if not all(isinstance(value, (int, float)) for value in first.report.values()):
        yield "the report of atoms holds something else than numbers"
    if not same(features, kept):
        yield "atoms changes the features that it is given"


# -- losses ----------------------------------------------------------------------------------------


def _check_term(part: Any, loss: Callable[[Step], Tensor], what: str) -> Iterator[str]:
    try:
        taps = part.taps(tiny_network())
    except IncompatibleError:  # an answer: it needs what the tiny network lacks
        return
    yield from _check_taps(taps)
    yield from guarded(what, lambda: _check_gradient(part, loss, what))
    yield from guarded(what, lambda: _check_purity(part, loss, what))
    for name, changes in _cases().items():
        title = f"{what} for {name}"
        yield from guarded(title, partial(_check_case, part, loss, title, changes))


def _check_gradient(part: Any, loss: Callable[[Step], Tensor], what: str) -> Iterator[str]:
    step = tiny_step(part)
    value = loss(step)
    wrong = list(check_loss(what, value))
    yield from wrong
    if wrong:
        return
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value, [step.images], allow_unused=True)
        if slope is None:
            yield f"{what} has a gradient, but none to the images"
        elif not finite(slope):
            yield f"the gradient of {what} is not finite"
    else:
        other = tiny_step(part, images=step.images.detach() + 0.5, known=step.known)
        if loss(other).item() != value.item():
            yield f"{what} depends on the images but has no gradient: something detaches it"


def _check_purity(part: Any, loss: Callable[[Step], Tensor], what: str) -> Iterator[str]:
    step = tiny_step(part)
    kept = _contents(step)
    before = {n: v.clone() for n, v in step.network.module.state_dict().items()}
    first, second = loss(step), loss(step)
    if not same(first.detach(), second.detach()):
        yield f"{what} differs from call to call: draw from step.progress, not from a global stream"
    for name, value in _contents(step).items():
        if not same(value, kept[name]):
            yield f"{what} changes {name}"
    if not same(dict(step.network.module.state_dict()), before):
        yield f"{what} changes the network"


def _contents(step: Step) -> dict[str, Any]:
    """Copies all tensors that a step holds."""
    tensors = {
        f"step.{f.name}": getattr(step, f.name).detach().clone()
        for f in fields(step)
        if isinstance(getattr(step, f.name), Tensor)
    }
    for statistic, kept in step.known.items():
        for name, value in kept.items():
            tensors[f"step.known[{type(statistic).__name__}][{name!r}]"] = value.clone()
    for tap, kept in step.acts.taps.items():
        for name, value in kept.items():
            tensors[f"step.acts.taps[{tap.layer}][{name!r}]"] = value.detach().clone()
    tensors["step.acts.logits"] = step.acts.logits.detach().clone()
    return tensors


def _cases() -> dict[str, dict[str, Any]]:
    """Lists steps that loops meet sooner or later: one image, one class, equal or black images."""
    info = tiny_info()
    images, labels = tiny_real(info)
    twins = images[labels == 1][:1].expand(2, -1, -1, -1)
    return {
        "one image": {"labels": (1,)},
        "one class": {"labels": (2, 2, 2)},
        "two equal images": {"labels": (1, 1), "images": twins},
        "black images": {"labels": (0, 1, 2), "images": torch.zeros(3, *info.shape)},
    }


def _check_case(
    part: Any, loss: Callable[[Step], Tensor], what: str, changes: Mapping[str, Any]
) -> Iterator[str]:
    step = tiny_step(part, **changes)
    try:
        value = loss(step)
    except DDBenchError:  # an answer: say, an unbiased estimate of one image
        return
    wrong = list(check_loss(what, value))
    yield from wrong
    if not wrong and value.requires_grad:
        (slope,) = torch.autograd.grad(value, [step.images], allow_unused=True)
        if slope is not None and not finite(slope):
            yield f"the gradient of {what} is not finite: guard roots and quotients at 0"
