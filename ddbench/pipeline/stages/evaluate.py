"""evaluate: trains students on a distilled set and keeps their logits on the test data."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ddbench.api.errors import DDBenchError, DDBenchWarning, DivergedError
from ddbench.api.recipe import Training
from ddbench.api.tensors import send_to
from ddbench.api.types import Batch, DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.data.whitening import Whitening
from ddbench.nn.build import build_network
from ddbench.pipeline.results import StoredLabels, StudentTrial
from ddbench.pipeline.specs import Evaluate
from ddbench.pipeline.stages.relabel import ask
from ddbench.runtime.context import Context
from ddbench.runtime.seeds import derive_seed, make_generator
from ddbench.training.batches import Stream
from ddbench.training.loop import AskTeacher, Trainee, predict, train
from ddbench.training.schedule import budget

MOST_OTHER = 0.01
"""Part of the test images that a student trained again may answer otherwise without a warning."""


@dataclass(frozen=True, slots=True)
class Student:
    """The outcome of one student: a trial or a fault."""

    trial: StudentTrial | None = None
    report: Mapping[str, float] = field(default_factory=dict)
    fault: Exception | None = None
    share: float = 0.0
    """Its part of the cost, by the time that its own updates take."""
    module: nn.Module | None = None
    """The network that answered the test images."""


def evaluate(
    specs: Sequence[Evaluate],
    data: RealData,
    stream: Stream,
    teachers: Sequence[Network],
    stored: StoredLabels | None,
    ctx: Context,
    threads: int | None = None,
    rate: float | None = None,
) -> list[Student]:
    """Trains students on the same labelled batches, each with the numbers it would have alone.

    Test logits are those after the last epoch, or after the epoch that held-out distilled images
    chose. The test data is looked at once, when training is over. A student that fails keeps its
    fault; the others are trained to the end.

    Args:
        specs: What to do; alike but for student and run.
        data: For the test images.
        stream: Over the distilled set.
        teachers: For labels asked while training.
        stored: What the relabel stage wrote.
        ctx: Device, precision, progress.
        threads: That trained a student before, to train it again with the same bits.
        rate: What the distiller learned, if it did.

    Raises:
        DDBenchError: the protocol asks for a learned rate, or a part to hold out, and there can be
            none.
    """
    spec, held = specs[0], None
    if spec.holdout:
        if stream.stored is not None or (stored is not None and stored.views is not None):
            raise _whole_only()
        rows = _draw_held_out(stream.labels, spec.holdout, spec.seed)
        held, stream = _select(stream, rows), _select(stream, ~rows)
        if stored is not None and stored.logits is not None:
            stored = StoredLabels(logits=stored.logits[~rows])
    title = "evaluate: train " + ("a student" if len(specs) == 1 else f"{len(specs)} students")
    training = [_Training(each, stream, held, data.info, ctx) for each in specs]
    trainees = [each.trainee for each in training if each.trainee is not None]
    ask_teacher = _choose_teacher(spec, stream, teachers, stored, ctx)
    own = _at_learned_rate(spec.training, rate) if spec.learned_rate else spec.training
    train(trainees, stream, own, spec.labeller.loss, ctx, title, ask_teacher, threads)
    whole = sum((trainee.seconds for trainee in trainees if trainee.fault is None), 0.0)
    return [each.finish(data, whole, stream.whitening, ctx) for each in training]


class _Training:
    """A student on its way, or the fault with which its architecture refused the data."""

    trainee: Trainee | None = None
    _chooser: _Chooser | None = None
    _fault: Exception | None = None

    def __init__(
        self, spec: Evaluate, stream: Stream, held: Stream | None, info: DatasetInfo, ctx: Context
    ) -> None:
        seed = derive_seed(spec.seed, "student", spec.run)
        try:
            module = build_network(spec.student, info, seed, ctx)
        except Exception as fault:
            self._fault = fault
            return
        if held is not None:
            last = budget(spec.training, stream.steps).epochs - 1
            self._chooser = _Chooser(module, held, spec.holdout_every, last, ctx)
        self.trainee = Trainee(module, seed, self._chooser)

    def finish(
        self, data: RealData, whole: float, whitening: Whitening | None, ctx: Context
    ) -> Student:
        """Lets the student answer the test images; `whole` is the seconds of all students."""
        if self.trainee is None:
            return Student(fault=self._fault)
        trainee = self.trainee
        if trainee.fault is not None:
            return Student(fault=trainee.fault)
        report = {}
        if self._chooser is not None:
            report["evaluate.chosen_epoch"] = float(self._chooser.restore())
        logits = predict(trainee.module, data.test_images, data.info, ctx, whitening)
        if not logits.isfinite().all():  # a last update may do it, after the last loss
            return Student(fault=_not_finite())
        trial = StudentTrial(
            logits=logits,
            labels=data.test_labels.clone(),
            training_loss=torch.tensor(trainee.losses),
            threads=torch.tensor(trainee.threads),
        )
        return Student(trial, report, None, trainee.seconds / whole, trainee.module)


def _select(stream: Stream, rows: Bool[Tensor, " n"]) -> Stream:
    """Returns the stream over a part of its images."""
    return replace(
        stream,
        images=stream.images[rows],
        labels=stream.labels[rows],
        weights=stream.weights[rows],
        learned=None if stream.learned is None else stream.learned[rows],
    )


def _not_finite() -> DivergedError:
    return DivergedError(
        "the trained student's logits of the test images are not finite",
        "the loss of every update was: the last steps were too long",
        hint="lower the learning rate",
    )


def _at_learned_rate(training: Training, rate: float | None) -> Training:
    if rate is None:
        raise DDBenchError(
            "the images came without a learned rate",
            "the protocol trains students at it",
            hint="--set evaluate.learned_rate=false",
        )
    return replace(training, lr=rate)


def _whole_only() -> DDBenchError:
    return DDBenchError(
        "a protocol with a held-out part cannot use labels stored per view",
        "stored views cover the whole distilled set, epoch by epoch",
        hint="let the teacher label as training goes (--set relabel.store=false)",
    )


def _choose_teacher(
    spec: Evaluate,
    stream: Stream,
    teachers: Sequence[Network],
    stored: StoredLabels | None,
    ctx: Context,
) -> AskTeacher:
    """Returns what gives the labeller a teacher's logits of a batch, once for all students."""
    asks = spec.labeller.asks
    if asks == "nobody":
        return lambda batch: None
    if asks == "once":
        assert stored is not None
        assert stored.logits is not None
        bank = stored.logits.to(ctx.device)
        return lambda batch: bank
    if stored is None:
        assert teachers
        return lambda batch: ask(teachers, batch.images, spec.labeller, ctx)
    return _ViewReader(stored, ctx.device)


class _ViewReader:
    """Hands out stored logits of views in the order in which the stream shows the views."""

    def __init__(self, stored: StoredLabels, device: str) -> None:
        assert stored.views is not None
        assert stored.rows is not None
        self._views, self._rows = stored.views.flatten(0, 1), stored.rows.flatten()
        self._device = device
        self._place = 0

    def __call__(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Returns the logits of the next batch.

        Raises:
            DDBenchError: the batch shows other images than were labelled.
        """
        part = slice(self._place, self._place + len(batch.indices))
        if not torch.equal(self._rows[part], batch.indices):
            raise DDBenchError(
                "stored labels belong to other images than the batch shows",
                hint="remake them: `ddbench cache gc`, then run again",
            )
        self._place = part.stop
        return send_to(self._views[part], self._device).float()


def _draw_held_out(labels: Int[Tensor, " n"], part: float, seed: int) -> Bool[Tensor, " n"]:
    """Draws a part of every class where classes are large enough, else of the whole set."""
    rng = make_generator(seed, "holdout")
    held = torch.zeros(len(labels), dtype=torch.bool)
    counts = torch.bincount(labels)
    groups = [(labels == cls).nonzero().flatten() for cls in range(len(counts))]
    if counts[counts > 0].min() * part < 1:
        groups = [torch.arange(len(labels))]
    for rows in groups:
        count = min(max(int(len(rows) * part), 1), len(rows) - 1)
        held[rows[torch.randperm(len(rows), generator=rng)[:count]]] = True
    return held


class _Chooser:
    """Keeps the weights of the epoch that does best on held-out images (WMDD, Table 2)."""

    def __init__(
        self, module: nn.Module, held: Stream, every: int, last: int, ctx: Context
    ) -> None:
        """Looks every so many epochs, and after the last."""
        self._module, self._held, self._ctx = module, held, ctx
        self._every, self._last = every, last
        self._best: tuple[float, float] = (-1.0, 0.0)
        self._state: dict[str, Tensor] = {}
        self._epoch = -1

    def __call__(self, epoch: int) -> None:
        if (epoch + 1) % self._every and epoch != self._last:
            return
        held = self._held
        logits = predict(self._module, held.images, held.info, self._ctx, held.whitening)
        if not logits.isfinite().all():
            return  # argmax would take them for the first class
        right = (logits.argmax(1) == held.labels).float().mean().item()
        score = (right, -F.cross_entropy(logits, held.labels).item())
        if score >= self._best:
            self._best, self._epoch = score, epoch
            self._state = copy.deepcopy(self._module.state_dict())

    def restore(self) -> int:
        """Puts the best weights back; returns the epoch that they are from."""
        if self._epoch >= 0:
            self._module.load_state_dict(self._state)
        return self._epoch


def warn_unless_same(kept: Float[Tensor, "n k"], again: Float[Tensor, "n k"]) -> None:
    """Warns if a student that was trained again is not the one whose accuracy the record holds."""
    other = (kept.argmax(1) != again.argmax(1)).float().mean().item()
    if other > MOST_OTHER:
        warnings.warn(
            f"a student trained again answers {100 * other:.1f} % of the test images otherwise "
            "than the one whose accuracy is recorded: this device does not repeat its numbers",
            DDBenchWarning,
            stacklevel=2,
        )
