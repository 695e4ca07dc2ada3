"""Problems that distillers are given: real images, fresh networks, and the objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Architecture, Matcher, Regularizer
from ddbench.api.tensors import send_to
from ddbench.api.types import DatasetInfo, Network, Step, Tap, Tensors
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench.runtime.memory import room_for
from ddbench.runtime.seeds import derive_seed, make_generator
from ddbench.training.batches import normalise


@dataclass(frozen=True, slots=True)
class Term:
    """A matcher with its weight and, if it has a target, one atom per image."""

    weight: float
    matcher: Matcher
    atoms: Float[Tensor, "n d"] | None


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher as the objective looks through it."""

    network: Network
    probe: Probe
    terms: Sequence[Term]
    known: Mapping[Any, Tensors]


@dataclass(slots=True, kw_only=True)
class StageProblem:
    """Real images, fresh networks and named draws of a stage: `ddbench.api.distiller.Problem`."""

    info: DatasetInfo
    device: str
    seed: int
    data: RealData
    scope: str = "recover"
    """First name of every draw."""
    architecture: Architecture | None = None
    """Architecture of fresh networks; None where none may be asked for."""
    on_tick: Callable[[Float[Tensor, ""] | None], None] = lambda loss: None
    ctx: Context = field(default_factory=Context)
    _rows: dict[int, Tensor] = field(default_factory=dict)

    def rng(self, *names: object) -> Generator:
        return make_generator(self.seed, self.scope, *names)

    def images(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        images = self.data.train_images.index_select(0, rows)  # ten times as fast as images[rows]
        return normalise(send_to(images, self.device), self.info)

    def real_indices(self, cls: int) -> Int[Tensor, " n"]:
        if cls not in self._rows:  # looked for once: loops ask at every iteration
            self._rows[cls] = self.data.of_class(cls)
        return self._rows[cls]

    def real(self, cls: int) -> Float[Tensor, "n c h w"]:
        return self.images(self.real_indices(cls))

    def real_batch(self, cls: int, count: int, rng: Generator) -> Float[Tensor, "b c h w"]:
        rows = self.real_indices(cls)
        return self.images(rows[torch.randperm(len(rows), generator=rng)[:count]])

    def fresh_network(self, *names: object) -> Network:
        if self.architecture is None:
            raise DDBenchError(
                "this distiller asks for networks but does not say so",
                hint='add "networks" to its `needs`',
            )
        seed = derive_seed(self.seed, self.scope, "network", *names)
        module = build_network(self.architecture, self.info, seed, self.ctx)
        return Network(module, self.architecture.classifier(module))

    def probe(self, network: Network, taps: Sequence[Tap] = ()) -> Probe:
        return Probe(network, taps, self.ctx)

    def tick(self, loss: Float[Tensor, ""] | None = None) -> None:
        self.on_tick(loss)


@dataclass(slots=True, kw_only=True)
class RecoverProblem(StageProblem):
    """Images to make, and what they are made by: `ddbench.api.distiller.DistillProblem`."""

    labels: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]
    taught: Sequence[Taught] = ()
    prepared: Sequence[Tensor] = ()
    regularizers: Sequence[tuple[float, Regularizer]] = ()
    _group: int = 0
    _calls: int = 0
    _memory: dict[tuple[int, int], Tensors] = field(default_factory=dict)
    """Tensors that regularizers remember, by teacher and regularizer."""

    @property
    def teachers(self) -> list[Probe]:
        return [teacher.probe for teacher in self.taught]

    @property
    def separable(self) -> bool:
        terms = [term.matcher for teacher in self.taught for term in teacher.terms]
        parts = (*terms, *(regularizer for _, regularizer in self.regularizers))
        return all(part.separable for part in parts)

    @property
    def known(self) -> Mapping[Any, Tensors]:
        return self.taught[0].known if self.taught else {}

    def begin(self, group: int) -> None:
        """Forgets what was remembered, so that a group does not depend on those before it."""
        self._group, self._calls = group, 0
        self._memory.clear()

    def normalise(self, pixels_: Shaped[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return normalise(pixels_, self.info)

    def pixel_range(self) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
        mean = torch.tensor(self.info.mean, device=self.device).view(1, -1, 1, 1)
        std = torch.tensor(self.info.std, device=self.device).view(1, -1, 1, 1)
        return -mean / std, (1 - mean) / std

    def room_for(self, work: Callable[[], object]) -> float:
        return room_for(work, self.device)

    def objective(
        self,
        images: Float[Tensor, "b c h w"],
        indices: Int[Tensor, " b"],
        progress: float,
        teacher: int | None = None,
    ) -> Float[Tensor, ""]:
        if not self.taught or not (self.taught[0].terms or self.regularizers):
            raise DDBenchError(
                "this distiller asks for the objective but does not say so",
                hint='add "objective" to its `needs`',
            )
        there = send_to(indices, self.device)
        numbers = range(len(self.taught)) if teacher is None else (teacher,)
        losses = [self._through(number, images, there, progress) for number in numbers]
        self._calls += 1
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def _through(
        self, number: int, images: Tensor, rows: Tensor, progress: float
    ) -> Float[Tensor, ""]:
        """The objective through one teacher."""
        teacher = self.taught[number]
        step = Step(
            images=images,
            labels=self.labels[rows],
            weights=self.weights[rows],
            atoms=None,
            acts=teacher.probe(images),
            network=teacher.network,
            known=teacher.known,
            progress=progress,
            seed=derive_seed(self.seed, "recover", "step", self._group, self._calls),
        )
        total = images.new_zeros(())
        for term in teacher.terms:
            atoms = None if term.atoms is None else term.atoms[rows]
            loss = term.matcher.loss(replace(step, atoms=atoms))
            total = total + term.weight * _scalar(loss, term.matcher, "loss")
        for place, (weight, regularizer) in enumerate(self.regularizers):
            seen = replace(step, memory=self._memory.get((number, place), {}))
            total = total + weight * _scalar(regularizer.penalty(seen), regularizer, "penalty")
            with torch.no_grad():
                self._memory[number, place] = dict(regularizer.remember(seen))
        return total


def _scalar(value: Any, part: object, method: str) -> Tensor:
    """A loss; one of shape [1] would pass for a group of one image, and fail for others."""
    if isinstance(value, Tensor) and value.dim() == 0:
        return value
    given = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise DDBenchError(
        f"{type(part).__name__}.{method} gave {given}",
        "expected: a tensor without axes, one number for the whole batch",
        hint="sum over the images, or take their mean",
    )
