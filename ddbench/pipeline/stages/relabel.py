"""relabel: ask the teachers ahead of training, about plain images or about every view."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ddbench.api.roles import Labeller
from ddbench.api.types import Network
from ddbench.pipeline.results import StoredLabels
from ddbench.pipeline.specs import Relabel
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.training.batches import Stream
from ddbench.training.loop import predict


def relabel(
    spec: Relabel, stream: Stream, teachers: Sequence[Network], ctx: Context, meter: Meter
) -> tuple[StoredLabels, dict[str, float]]:
    """Asks the teachers about the plain images, or about every view where the spec has views."""
    if spec.augmentation is None:
        answers = [predict(t.module, stream.images, stream.info, ctx) for t in teachers]
        return StoredLabels(logits=combine_answers(spec.labeller, answers)), {}
    views, rows = [], []
    meter.group()
    with ctx.progress.stage("relabel: ask the teacher", spec.epochs) as advance:
        for epoch in range(spec.epochs):
            asked = [
                (ask(teachers, batch.images, spec.labeller, ctx).half(), batch.indices)
                for batch in stream.epoch(epoch)  # one at a time: an epoch may be large
            ]
            views.append(torch.cat([answers for answers, _ in asked]).cpu())
            rows.append(torch.cat([indices for _, indices in asked]))
            meter.tick()
            advance(1)
    return StoredLabels(views=torch.stack(views), rows=torch.stack(rows)), {}


@torch.no_grad()
def ask(
    teachers: Sequence[Network], images: Float[Tensor, "b c h w"], labeller: Labeller, ctx: Context
) -> Float[Tensor, "b k"]:
    """The teachers' logits, rounded to half precision: what is stored and what is asked agree."""
    with ctx.autocast():
        answers = [teacher.module(images).float() for teacher in teachers]
    return combine_answers(labeller, answers).half().float()


def combine_answers(
    labeller: Labeller, answers: Sequence[Float[Tensor, "b k"]]
) -> Float[Tensor, "b k"]:
    """One answer for those of an ensemble: the labeller's own way, else their mean."""
    if len(answers) == 1:
        return answers[0]
    every = torch.stack(list(answers))  # e b k
    return labeller.combined(every)
