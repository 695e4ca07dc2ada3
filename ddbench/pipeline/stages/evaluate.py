"""evaluate: train students on a distilled set and keep their logits on the test data."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, DDBenchWarning, DivergedError
from ddbench.api.tensors import send_to
from ddbench.api.types import Batch, DatasetInfo, Network, Tensors
from ddbench.data.real import RealData
from ddbench.data.whitening import Whitening
from ddbench.nn.build import build_network
from ddbench.pipeline.specs import Evaluate
from ddbench.pipeline.stages.relabel import ask
from ddbench.runtime.context import Context
from ddbench.runtime.seeds import derive_seed, make_generator
from ddbench.training.batches import Stream
from ddbench.training.loop import Answers, Trainee, predict, train
from ddbench.training.schedule import budget

MOST_OTHER = 0.01
"""Part of the test images that a student trained again may answer otherwise without a warning."""


@dataclass(frozen=True, slots=True)
class Student:
    """What became of one student."""

    made: tuple[Tensors, dict[str, float]] | None
    """Test `logits` and `labels`, `training_loss` of every epoch and the `threads` that trained it,
    and figures for the report; None if it failed."""
    fault: Exception | None
    share: float
    """Its part of the cost, by the time that its own updates take."""
    module: nn.Module | None = None
    """The network as it was judged."""


def evaluate(
    specs: Sequence[Evaluate],
    data: RealData,
    stream: Stream,
    teachers: Sequence[Network],
    stored: Tensors | None,
    ctx: Context,
    threads: int | None = None,
) -> list[Student]:
    """Students trained on the same labelled batches, each with the numbers it would have alone.

    Test logits are those after the last epoch, or after the epoch that held-out distilled images
    chose. The test data is looked at once, when training is over. A student that fails is told as
    such; the others are trained to the end.

    Args:
        specs: What to do; alike but for student and run.
        data: For the test images.
        stream: Over the distilled set.
        teachers: For labels asked while training.
        stored: What the relabel stage wrote.
        ctx: Device, precision, progress.
        threads: That trained a student before, to train it again with the same bits.
    """
    spec, held = specs[0], None
    if spec.holdout:
        if stream.stored is not None or (stored is not None and "views" in stored):
            raise _whole_only()
        held = _held_out(stream.labels, spec.holdout, spec.seed)
        if stored is not None:
            stored = {"logits": stored["logits"][~held]}
    kept = stream if held is None else _only(stream, ~held)
    title = "evaluate: train " + ("a student" if len(specs) == 1 else f"{len(specs)} students")
    training = [_begin(own, stream, kept, held, data.info, ctx) for own in specs]
    trainees = [each.trainee for each in training if each.trainee is not None]
    answers = _answers(spec, kept, teachers, stored, ctx)
    train(trainees, kept, spec.training, spec.labeller.loss, ctx, title, answers, threads)
    whole = sum(trainee.seconds for trainee in trainees if trainee.fault is None)
    return [each.end(data, ctx, whole, stream.whitening) for each in training]


@dataclass(frozen=True, slots=True)
class _Training:
    """A student on its way, or why there cannot be one."""

    trainee: Trainee | None = None
    chooser: _Chooser | None = None
    fault: Exception | None = None

    def end(
        self, data: RealData, ctx: Context, whole: float, whitening: Whitening | None
    ) -> Student:
        """What is kept of it, `whole` being the seconds of all students."""
        trainee = self.trainee
        if trainee is None or trainee.fault is not None:
            return Student(None, self.fault if trainee is None else trainee.fault, 0.0)
        report = {}
        if self.chooser is not None:
            report["evaluate.chosen_epoch"] = float(self.chooser.restore())
        logits = predict(trainee.module, data.test_images, data.info, ctx, whitening)
        if not logits.isfinite().all():  # a last update may do it, after the last loss
            return Student(None, _not_finite(), 0.0)
        made = {
            "logits": logits,
            "labels": data.test_labels.clone(),
            "training_loss": torch.tensor(trainee.losses),
            "threads": torch.tensor(trainee.threads),
        }
        return Student((made, report), None, trainee.seconds / whole, trainee.module)


def _begin(
    spec: Evaluate,
    stream: Stream,
    kept: Stream,
    held: Bool[Tensor, " n"] | None,
    info: DatasetInfo,
    ctx: Context,
) -> _Training:
    """A new student; an architecture may refuse the data."""
    seed = derive_seed(spec.seed, "student", spec.run)
    try:
        module = build_network(spec.student, info, seed, ctx)
    except Exception as fault:
        return _Training(fault=fault)
    if held is None:
        return _Training(Trainee(module, seed))
    chooser = _Chooser(
        module,
        stream.images[held],
        stream.labels[held],
        kept.steps,
        info,
        spec,
        ctx,
        stream.whitening,
    )
    return _Training(Trainee(module, seed, chooser), chooser, None)


def _only(stream: Stream, rows: Bool[Tensor, " n"]) -> Stream:
    return replace(
        stream,
        images=stream.images[rows],
        labels=stream.labels[rows],
        weights=stream.weights[rows],
    )


def _not_finite() -> DivergedError:
    return DivergedError(
        "the trained student's logits of the test images are not finite",
        "the loss of every update was: the last steps were too long",
        hint="lower the learning rate",
    )


def _whole_only() -> DDBenchError:
    return DDBenchError(
        "a protocol with a held-out part cannot use labels stored per view",
        "stored views cover the whole distilled set, epoch by epoch",
        hint="let the teacher label as training goes (--set relabel.store=false)",
    )


def _answers(
    spec: Evaluate,
    stream: Stream,
    teachers: Sequence[Network],
    stored: Tensors | None,
    ctx: Context,
) -> Answers:
    """What the labeller is told of a batch, once for all students."""
    asks = spec.labeller.asks
    if asks == "nobody":
        return lambda batch: None
    if asks == "once":
        assert stored is not None
        bank = stored["logits"].to(ctx.device)
        return lambda batch: bank
    if stored is None:
        assert teachers
        return lambda batch: ask(teachers, batch.images, spec.labeller, ctx)
    answers = _Answers(stored, stream)
    return lambda batch: answers.of(batch, ctx)


class _Answers:
    """Stored views, handed out in the order in which the stream shows them."""

    def __init__(self, stored: Tensors, stream: Stream) -> None:
        self._views = stored["views"].flatten(0, 1)
        self._rows = stored["rows"].flatten()
        self._place = 0

    def of(self, batch: Batch, ctx: Context) -> Float[Tensor, "b k"]:
        end = self._place + len(batch.indices)
        if not torch.equal(self._rows[self._place : end], batch.indices):
            raise DDBenchError(
                "stored labels belong to other images than the batch shows",
                hint="remake them: `ddbench cache gc`, then run again",
            )
        found = send_to(self._views[self._place : end], ctx.device).float()
        self._place = end
        return found


def _held_out(labels: Int[Tensor, " n"], part: float, seed: int) -> Bool[Tensor, " n"]:
    """A part of every class where classes are large enough, else of the whole set."""
    rng = make_generator(seed, "holdout")
    held = torch.zeros(len(labels), dtype=torch.bool)
    counts = torch.bincount(labels)
    small = counts[counts > 0].min() * part < 1
    groups: Iterator[Tensor] | list[Tensor]
    groups = (
        [torch.arange(len(labels))]
        if small
        else [(labels == cls).nonzero().flatten() for cls in range(len(counts))]
    )
    for rows in groups:
        count = min(max(int(len(rows) * part), 1), len(rows) - 1)
        held[rows[torch.randperm(len(rows), generator=rng)[:count]]] = True
    return held


class _Chooser:
    """Keeps the weights of the epoch that does best on held-out images (WMDD, Table 2)."""

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        labels: Tensor,
        steps: int,
        info: DatasetInfo,
        spec: Evaluate,
        ctx: Context,
        whitening: Whitening | None,
    ) -> None:
        self._module, self._images, self._labels = module, images, labels
        self._info, self._every, self._ctx = info, spec.holdout_every, ctx
        self._whitening = whitening
        self._last = budget(spec.training, steps).epochs - 1
        self._best: tuple[float, float] = (-1.0, 0.0)
        self._state: dict[str, Tensor] = {}
        self._epoch = -1

    def __call__(self, epoch: int) -> None:
        if (epoch + 1) % self._every and epoch != self._last:
            return
        logits = predict(self._module, self._images, self._info, self._ctx, self._whitening)
        if not logits.isfinite().all():
            return  # argmax would take them for the first class
        right = (logits.argmax(1) == self._labels).float().mean().item()
        score = (right, -F.cross_entropy(logits, self._labels).item())
        if score >= self._best:
            self._best, self._epoch = score, epoch
            self._state = copy.deepcopy(self._module.state_dict())

    def restore(self) -> int:
        """Puts the best weights back; the epoch they are from."""
        if self._epoch >= 0:
            self._module.load_state_dict(self._state)
        return self._epoch


def warn_unless_same(judged: Float[Tensor, "n k"], again: Float[Tensor, "n k"]) -> None:
    """A student that was trained again must be the one whose accuracy the record holds."""
    other = (judged.argmax(1) != again.argmax(1)).float().mean().item()
    if other > MOST_OTHER:
        warnings.warn(
            f"a student trained again answers {100 * other:.1f} % of the test images otherwise "
            "than the one whose accuracy is recorded: this device does not repeat its numbers",
            DDBenchWarning,
            stacklevel=2,
        )
