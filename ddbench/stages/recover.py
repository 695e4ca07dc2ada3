"""recover: a distiller makes the images, group by group; finished groups survive a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ddbench.cache import PartialGroups
from ddbench.context import Context
from ddbench.data import RealData
from ddbench.errors import DDBenchError, DivergedError
from ddbench.meter import Meter
from ddbench.networks import fresh
from ddbench.probe import Probe
from ddbench.roles import Architecture, Matcher, Regularizer, Statistic
from ddbench.seeds import generator, seed_of
from ddbench.stage_specs import Recover, RecoverAnew
from ddbench.stream import pixels
from ddbench.types import Activations, DatasetInfo, Network, Step, Tap, Tensors

_CHECK_EVERY = 25
"""Iterations between looks at the loss on an accelerator, where each look waits for the device."""


@dataclass(frozen=True, slots=True)
class Term:
    """A matcher with its weight and, if it has a target, one atom per image."""

    weight: float
    matcher: Matcher
    atoms: Float[Tensor, "n d"] | None


@dataclass(slots=True, kw_only=True)
class Problem:
    """What a distiller sees of a cell; see `ddbench.roles.Problem`."""

    info: DatasetInfo
    labels: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]
    device: str
    seed: int
    data: RealData
    teachers: Sequence[Callable[[Float[Tensor, "b c h w"]], Activations]] = ()
    network: Network | None = None
    terms: Sequence[Term] = ()
    regularizers: Sequence[tuple[float, Regularizer]] = ()
    known: Mapping[Statistic, Tensors] = field(default_factory=dict)
    on_tick: Callable[[Float[Tensor, ""] | None], None] = lambda loss: None
    architecture: Architecture | None = None
    ctx: Context = field(default_factory=Context)
    _rows: dict[int, Tensor] = field(default_factory=dict)

    def rng(self, *names: object) -> Generator:
        return generator(self.seed, "recover", *names)

    def real_indices(self, cls: int) -> Int[Tensor, " n"]:
        if cls not in self._rows:  # looked for once: loops ask at every iteration
            self._rows[cls] = self.data.of_class(cls)
        return self._rows[cls]

    def real(self, cls: int) -> Float[Tensor, "n c h w"]:
        return self._read(self.real_indices(cls))

    def real_batch(self, cls: int, count: int, rng: Generator) -> Float[Tensor, "b c h w"]:
        rows = self.real_indices(cls)
        return self._read(rows[torch.randperm(len(rows), generator=rng)[:count]])

    def _read(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        return self.normalise(self.data.train_images[rows].to(self.device) / 255)

    def fresh_network(self, *names: object) -> Network:
        if self.architecture is None:
            raise DDBenchError(
                "this distiller asks for networks but does not say so",
                hint='add "networks" to its `needs`',
            )
        seed = seed_of(self.seed, "recover", "network", *names)
        module = fresh(self.architecture, self.info, seed, self.ctx)
        return Network(module, self.architecture.classifier(module))

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Probe:
        return Probe(network, taps, self.ctx)

    def normalise(self, pixels_: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return pixels(pixels_, self.info)

    def pixel_range(self) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
        mean = torch.tensor(self.info.mean, device=self.device).view(1, -1, 1, 1)
        std = torch.tensor(self.info.std, device=self.device).view(1, -1, 1, 1)
        return -mean / std, (1 - mean) / std

    def tick(self, loss: Float[Tensor, ""] | None = None) -> None:
        self.on_tick(loss)

    def objective(
        self, images: Float[Tensor, "b c h w"], indices: Int[Tensor, " b"], progress: float
    ) -> Float[Tensor, ""]:
        if self.network is None:
            raise DDBenchError(
                "this distiller asks for the objective but does not say so",
                hint='add "objective" to its `needs`',
            )
        acts = self.teachers[0](images)
        there = indices.to(self.device)
        total = images.new_zeros(())
        for term in self.terms:
            atoms = None if term.atoms is None else term.atoms[there]
            step = self._step(images, there, acts, atoms, progress)
            total = total + term.weight * term.matcher.loss(step)
        step = self._step(images, there, acts, None, progress)
        for weight, regularizer in self.regularizers:
            total = total + weight * regularizer.penalty(step)
        return total

    def _step(
        self, images: Tensor, rows: Tensor, acts: Activations, atoms: Tensor | None, progress: float
    ) -> Step:
        assert self.network is not None
        return Step(
            images=images,
            labels=self.labels[rows],
            weights=self.weights[rows],
            atoms=atoms,
            acts=acts,
            network=self.network,
            known=self.known,
            progress=progress,
        )


def recover(
    spec: Recover,
    data: RealData,
    teacher: Network | None,
    known: Mapping[Statistic, Tensors],
    atoms: Sequence[Tensors | None],
    partial: PartialGroups,
    ctx: Context,
    meter: Meter,
) -> tuple[Tensors, dict[str, float]]:
    """A distilled set: `images` or `indices` into the training set, `labels`, `weights`.

    Images are bytes, or floating pixels where the distiller is `exact`.

    Args:
        spec: What to do.
        data: The real data.
        teacher: Frozen; None where the distiller needs none.
        known: Statistics by their specification, on any device.
        atoms: Of each matcher, in order; None for those without a target.
        partial: Where finished groups are kept until all are.
        ctx: Device, precision, progress.
        meter: Counts iterations.

    Raises:
        DivergedError: a loss is not finite.
    """
    labels = torch.repeat_interleave(torch.arange(data.info.num_classes), torch.tensor(spec.counts))
    weights = _weights(spec, labels, atoms)
    taps = () if teacher is None else spec.taps(teacher)
    problem = Problem(
        info=data.info,
        labels=labels.to(ctx.device),
        weights=weights.to(ctx.device),
        device=ctx.device,
        seed=spec.seed,
        data=data,
        network=teacher,
        teachers=[Probe(teacher, taps, ctx)] if teacher is not None else [],
        terms=_terms(spec, atoms, ctx.device),
        regularizers=spec.regularizers,
        known={s: {n: t.to(ctx.device) for n, t in v.items()} for s, v in known.items()},
        architecture=spec.architecture if isinstance(spec, RecoverAnew) else None,
        ctx=ctx,
    )
    try:
        made, report = _all_groups(spec, problem, labels, partial, ctx, meter)
    finally:
        for probe in problem.teachers:
            if isinstance(probe, Probe):
                probe.close()
    return {**made, "labels": labels, "weights": weights}, report


def _weights(spec: Recover, labels: Tensor, atoms: Sequence[Tensors | None]) -> Float[Tensor, " n"]:
    """The distiller's own, or those of the first target, else equal ones; a class sums to 1."""
    if hasattr(spec.distiller, "weights"):
        return spec.distiller.weights(labels)
    for found in atoms:
        if found is not None:
            return found["weights"]
    return 1.0 / torch.bincount(labels)[labels].float()


def _terms(spec: Recover, atoms: Sequence[Tensors | None], device: str) -> list[Term]:
    return [
        Term(weight, matcher, None if found is None else found["points"].to(device))
        for (weight, matcher), found in zip(spec.matchers, atoms, strict=True)
    ]


def _all_groups(
    spec: Recover,
    problem: Problem,
    labels: Tensor,
    partial: PartialGroups,
    ctx: Context,
    meter: Meter,
) -> tuple[Tensors, dict[str, float]]:
    groups = spec.distiller.batches(labels)
    if sorted(torch.cat(groups).tolist()) != list(range(len(labels))):
        raise DDBenchError(
            f"{type(spec.distiller).__name__}.batches does not divide the images",
            f"expected every index from 0 to {len(labels) - 1} exactly once",
        )
    total = sum(spec.distiller.iterations_of(problem, group) for group in groups)
    result: Tensor | None = None
    last = math.nan
    with ctx.progress.stage("recover: make the images", total) as advance:
        for number, group in enumerate(groups):
            done = partial.get(number)
            if done is None:
                watch = _Watch(spec, number, len(groups), advance, meter, ctx)
                problem.on_tick = watch
                done = spec.distiller.recover(problem, group)
                done = _stored(spec, done, problem)
                partial.put(number, done)
                last = watch.last()
            else:
                advance(spec.distiller.iterations_of(problem, group))
            if result is None:
                result = torch.empty(len(labels), *done.shape[1:], dtype=done.dtype)
            result[group] = done
    assert result is not None
    report = {} if math.isnan(last) else {"recover.final_loss": last}
    return {"images" if spec.distiller.makes == "pixels" else "indices": result}, report


def _stored(spec: Recover, made: Tensor, problem: Problem) -> Tensor:
    """What a distiller gave, as it is kept."""
    if spec.distiller.makes == "indices":
        return made.cpu()
    if getattr(spec.distiller, "exact", False):
        return unnormalise(made, problem).cpu().contiguous()
    return quantise(made, problem)


class _Watch:
    """Called once per iteration: progress, time, and whether the loss is still a number."""

    def __init__(
        self, spec: Recover, number: int, groups: int, advance: Any, meter: Meter, ctx: Context
    ) -> None:
        self._name = f"group {number + 1} of {groups}"
        self._advance = advance
        self._meter = meter
        self._every = 1 if ctx.device == "cpu" else _CHECK_EVERY
        self._count = 0
        self._loss: Tensor | None = None
        meter.group()

    def __call__(self, loss: Float[Tensor, ""] | None) -> None:
        self._meter.tick()
        self._count += 1
        self._loss = loss
        note = ""
        if loss is not None and self._count % self._every == 0:
            value = float(loss)
            if not math.isfinite(value):
                raise DivergedError(
                    f"recover: the loss is {value} at iteration {self._count}, {self._name}",
                    hint="lower --set recover.lr=... or the weights of the losses",
                )
            note = f"loss {value:.4g}"
        self._advance(1, note=note)

    def last(self) -> float:
        return math.nan if self._loss is None else float(self._loss)


def quantise(images: Float[Tensor, "b c h w"], problem: Problem) -> Tensor:
    """Normalised images as the bytes that are stored: clamped to [0, 1], rounded to 255 steps.

    Differences:
        The released codes truncate instead of rounding and then compress as JPEG.
    """
    levels = (unnormalise(images, problem).clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).cpu().contiguous()


def unnormalise(images: Float[Tensor, "b c h w"], problem: Problem) -> Float[Tensor, "b c h w"]:
    """Pixels of normalised images; those that an image can have are in [0, 1]."""
    mean = torch.tensor(problem.info.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(problem.info.std, device=images.device).view(1, -1, 1, 1)
    return images.detach().float() * std + mean
