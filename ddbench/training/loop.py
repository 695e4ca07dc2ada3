"""The one training loop, for teachers and students."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.recipe import Training
from ddbench.api.tensors import send_to
from ddbench.api.types import Batch, DatasetInfo
from ddbench.data.whitening import Whitening
from ddbench.runtime.context import Context, use_seed_on, wait_for
from ddbench.runtime.memory import count_kept_bytes, is_out_of_memory, let_go, room_beside
from ddbench.runtime.seeds import derive_seed
from ddbench.training.batches import Stream, prepare_inputs
from ddbench.training.ema import AveragedWeights
from ddbench.training.lockstep import hand_out
from ddbench.training.schedule import Budget, Schedule, budget, make_optimizer

AskTeacher = Callable[[Batch], Float[Tensor, "_ k"] | None]
"""Returns a teacher's logits of a batch, or of every image [n k], or None."""
Loss = Callable[[Float[Tensor, "b k"], Batch, Float[Tensor, "_ k"] | None], Float[Tensor, ""]]
"""Of a network's logits of a batch, and the teacher's answers about it."""


@dataclass(slots=True)
class Trainee:
    """A network that is trained, alone or beside others."""

    module: nn.Module
    """Already on the device."""
    seed: int
    """Of what the network itself draws in training, such as dropout."""
    after_epoch: Callable[[int], None] | None = None
    """Called with the index of each finished epoch; in train mode again afterwards."""
    fault: Exception | None = None
    """Why its training ended early."""
    seconds: float = 0.0
    """Of its first update in every epoch, the device waited for: what it costs beside others."""
    losses: list[float] = field(default_factory=list)
    """Mean over the updates of each finished epoch."""
    threads: int = 0
    """Of torch, that trained it after its first update: bits depend on them."""


def train(
    trainees: Sequence[Trainee],
    stream: Stream,
    training: Training,
    loss: Loss,
    ctx: Context,
    title: str,
    ask_teacher: AskTeacher = lambda batch: None,
    threads: int | None = None,
) -> None:
    """Trains networks in place, side by side on the same batches, and leaves them in eval mode.

    Each has its own weights, optimiser and draws, so that its numbers are those it would have
    alone; on a CPU but for rounding, where several are trained at once with a part of the cores
    each. Batches and the teacher's answers are made once for all. A network that fails keeps its
    fault, and the others go on.

    Args:
        trainees: The networks.
        stream: Augmented batches.
        training: Optimiser, schedule, length.
        loss: Of each network's logits.
        ctx: Device, precision, progress.
        title: For the progress bar.
        ask_teacher: Called once a batch.
        threads: As a `Trainee` had them, to train it again alone with the same bits.
    """
    length = budget(training, stream.steps)
    runs = [_Run(trainee, training, length, loss, ctx, title) for trainee in trainees]
    with ctx.progress.stage(title, length.updates) as advance:
        pieces = _labelled(stream, length, ask_teacher, advance)
        lanes, each = _begun(pieces, runs, ctx, threads)
        hand_out(pieces, [run.take for run in runs if run.going], lanes, each)
    for trainee in trainees:
        trainee.threads = each
    for run in runs:
        run.attempt(run.finish)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A batch with the teacher's answers, and its place in the training."""

    step: int
    done: int
    """Updates before this one."""
    last: bool
    """Of its epoch."""
    batch: Batch
    known: Tensor | None


def _labelled(
    stream: Stream, length: Budget, ask_teacher: AskTeacher, advance: Callable[[int], None]
) -> Iterator[_Piece]:
    done = 0
    for epoch in range(length.epochs):
        for step, batch in enumerate(stream.epoch(epoch)):
            last = step + 1 == stream.steps or done + 1 == length.updates
            batch = replace(batch, progress=done / length.updates)
            yield _Piece(step, done, last, batch, ask_teacher(batch))
            done += 1
            advance(1)
            if done == length.updates:
                return


def _begun(
    pieces: Iterator[_Piece], runs: Sequence[_Run], ctx: Context, threads: int | None
) -> tuple[int, int]:
    """How many networks are to be trained at once, with how many threads each.

    More than one on several cores, if memory has room for their activations and none draws
    anything: torch has one generator for all threads. The first batch, taken in turns, tells.
    """
    every = torch.get_num_threads()
    most = 1 if ctx.device != "cpu" else min(len(runs), every)
    if (most < 2 and threads is None) or (piece := next(pieces, None)) is None:
        return 1, every
    kept = max((count_kept_bytes(partial(run.take, piece)) for run in runs), default=0)
    if most < 2 or any(run.draws for run in runs):
        return 1, threads or every
    lanes = max(1, min(most, int(room_beside(kept))))
    if lanes > 1:
        for run in runs:
            run.stop_seeding()
    return lanes, threads or every // lanes


class _Run:
    """One network's way through the epochs."""

    def __init__(
        self,
        trainee: Trainee,
        training: Training,
        length: Budget,
        loss: Loss,
        ctx: Context,
        title: str,
    ) -> None:
        self._trainee, self._training, self._title = trainee, training, title
        self._loss, self._ctx = loss, ctx
        self._optimizer = make_optimizer(trainee.module, training)
        self._schedule = Schedule(self._optimizer, training, length)
        self._averaged = AveragedWeights(trainee.module, training.weight_ema)
        self._total = torch.zeros((), device=ctx.device)
        self._updates = 0
        self.draws = False
        """Whether the first update drew from torch's global generator."""
        self._untouched: Tensor | None = None
        """The state of that generator, while nothing is to be drawn."""

    @property
    def going(self) -> bool:
        return self._trainee.fault is None

    def attempt(self, work: Callable[..., None], *arguments: object) -> None:
        """Does a piece of work, unless an earlier one of the epoch failed."""
        if not self.going:
            return
        try:
            work(*arguments)
        except Exception as fault:
            self._trainee.fault = fault
            self._optimizer.zero_grad(set_to_none=True)
            self._optimizer.state.clear()
            if is_out_of_memory(fault):
                let_go(fault)  # the others go on, and this one may be tried again alone

    def take(self, piece: _Piece) -> bool:
        """Learns from the next batch; false if an error has ended the training."""
        if piece.step == 0:
            self._begin()
        self.attempt(self._update, piece)
        if piece.last:
            self.attempt(self.end, piece.batch.epoch)
        return self.going

    def stop_seeding(self) -> None:
        """From now on nothing is drawn: others may be trained at the same time."""
        self._untouched = torch.default_generator.get_state()

    def _begin(self) -> None:
        self._trainee.module.train()
        self._total.zero_()
        self._updates = 0

    def _update(self, piece: _Piece) -> None:
        if piece.step:
            self._step(piece)
            return
        wait_for(self._ctx.device)
        started = time.perf_counter()
        self._step(piece)
        wait_for(self._ctx.device)
        self._trainee.seconds += time.perf_counter() - started

    def _step(self, piece: _Piece) -> None:
        self._schedule.set(piece.batch.epoch, piece.done)
        with self._seeded(piece.done):
            with self._ctx.autocast():
                logits = self._trainee.module(piece.batch.images)
            value = self._loss(logits.float(), piece.batch, piece.known)
            value.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)  # none is held while others have their turn
        self._averaged.update()
        self._total += value.detach()
        self._updates += 1

    @contextlib.contextmanager
    def _seeded(self, done: int) -> Iterator[None]:
        """Makes what the network draws depend on its own seed and the update alone."""
        if self._untouched is None:
            seed = derive_seed(self._trainee.seed, "update", done)
            with use_seed_on(self._ctx.device, seed):
                before = torch.default_generator.get_state() if done == 0 else None
                yield
                if before is not None:
                    self.draws = not torch.equal(before, torch.default_generator.get_state())
            return
        yield
        if not torch.equal(self._untouched, torch.default_generator.get_state()):
            raise DDBenchError(
                f"{self._title}: a network drew random numbers after its first update alone",
                "networks that draw are trained one after another, which the first update decides",
                hint="one thread trains them so: OMP_NUM_THREADS=1",
            )

    def end(self, epoch: int) -> None:
        total = self._total.item()
        if not math.isfinite(total):
            raise DivergedError(
                f"{self._title}: the loss is not finite after epoch {epoch}",
                f"learning rate {self._training.lr:g}, {self._training.optimizer}",
                hint="lower the learning rate",
            )
        self._trainee.losses.append(total / self._updates)
        if self._trainee.after_epoch is not None:
            with self._averaged.in_place():
                self._trainee.after_epoch(epoch)

    def finish(self) -> None:
        self._averaged.put()
        self._trainee.module.eval()


@torch.no_grad()
def predict(
    module: nn.Module,
    images: Shaped[Tensor, "n c h w"],
    info: DatasetInfo,
    ctx: Context,
    whitening: Whitening | None = None,
    batch_size: int = 250,
) -> Float[Tensor, "n k"]:
    """Logits of plain images, float32 on the CPU."""
    module.eval()
    logits = []
    for chunk in images.split(batch_size):
        with ctx.autocast():
            views = prepare_inputs(send_to(chunk, ctx.device), info, whitening)
            logits.append(module(views).float())
    return torch.cat(logits).cpu()
