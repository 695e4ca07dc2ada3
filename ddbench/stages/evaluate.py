"""evaluate: train one student on the distilled set and keep its logits on the test data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ddbench.context import Context
from ddbench.data import RealData
from ddbench.errors import DDBenchError
from ddbench.meter import Meter
from ddbench.networks import fresh
from ddbench.seeds import generator, seed_of
from ddbench.stage_specs import Evaluate
from ddbench.stages.relabel import ask
from ddbench.stream import Stream
from ddbench.training import Loss, budget, predict, train
from ddbench.types import Batch, DatasetInfo, Network, Tensors


def evaluate(
    spec: Evaluate,
    data: RealData,
    stream: Stream,
    teacher: Network | None,
    stored: Tensors | None,
    ctx: Context,
    meter: Meter,
    keep: Callable[[nn.Module], None] | None = None,
) -> tuple[Tensors, dict[str, float]]:
    """Test logits of a student after the last epoch, or after the epoch that held-out distilled
    images chose. The test data is looked at once, when training is over.

    Args:
        spec: What to do.
        data: For the test images.
        stream: Over the distilled set.
        teacher: For labels asked while training.
        stored: What the relabel stage wrote.
        ctx: Device, precision, progress.
        meter: Unused: student steps are not iterations of the method.
        keep: Told the finished student.
    """
    del meter
    module = fresh(spec.student, data.info, seed_of(spec.seed, "student", spec.run), ctx)
    report: dict[str, float] = {}
    if spec.holdout:
        held = _held_out(stream.labels, spec.holdout, spec.seed)
        kept = replace(
            stream,
            images=stream.images[~held],
            labels=stream.labels[~held],
            weights=stream.weights[~held],
        )
        if stored is not None and "views" in stored:
            raise DDBenchError(
                "a protocol with a held-out part cannot use labels stored per view",
                "stored views cover the whole distilled set, epoch by epoch",
                hint="let the teacher label as training goes (--set relabel.store=false)",
            )
        stored = None if stored is None else {"logits": stored["logits"][~held]}
        chooser = _Chooser(
            module, stream.images[held], stream.labels[held], kept.steps, data.info, spec, ctx
        )
        loss = _loss(spec, kept, teacher, stored, ctx)
        train(module, kept, spec.training, loss, ctx, "evaluate: train a student", chooser)
        report["evaluate.chosen_epoch"] = float(chooser.restore())
    else:
        loss = _loss(spec, stream, teacher, stored, ctx)
        train(module, stream, spec.training, loss, ctx, "evaluate: train a student")
    logits = predict(module, data.test_images, data.info, ctx)
    if keep is not None:
        keep(module)
    return {"logits": logits, "labels": data.test_labels.clone()}, report


def _loss(
    spec: Evaluate, stream: Stream, teacher: Network | None, stored: Tensors | None, ctx: Context
) -> Loss:
    asks = spec.labeller.asks
    if asks == "nobody":
        return lambda logits, batch: spec.labeller.loss(logits, batch, None)
    if asks == "once":
        assert stored is not None
        bank = stored["logits"].to(ctx.device)
        return lambda logits, batch: spec.labeller.loss(logits, batch, bank)
    if stored is None:
        assert teacher is not None
        return lambda logits, batch: spec.labeller.loss(
            logits, batch, ask(teacher, batch.images, ctx)
        )
    answers = _Answers(stored, stream)
    return lambda logits, batch: spec.labeller.loss(logits, batch, answers.of(batch, ctx))


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
        found = self._views[self._place : end].float().to(ctx.device)
        self._place = end
        return found


def _held_out(labels: Int[Tensor, " n"], part: float, seed: int) -> Bool[Tensor, " n"]:
    """A part of every class where classes are large enough, else of the whole set."""
    rng = generator(seed, "holdout")
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
    ) -> None:
        self._module, self._images, self._labels = module, images, labels
        self._info, self._every, self._ctx = info, spec.holdout_every, ctx
        self._last = budget(spec.training, steps).epochs - 1
        self._best: tuple[float, float] = (-1.0, 0.0)
        self._state: dict[str, Tensor] = {}
        self._epoch = -1

    def __call__(self, epoch: int) -> None:
        if (epoch + 1) % self._every and epoch != self._last:
            return
        logits = predict(self._module, self._images, self._info, self._ctx)
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
