"""relabel: ask the teacher ahead of training, about plain images or about every view."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ddbench.context import Context
from ddbench.meter import Meter
from ddbench.stage_specs import Relabel
from ddbench.stream import Stream
from ddbench.training import predict
from ddbench.types import Network, Tensors


def relabel(
    spec: Relabel, stream: Stream, teacher: Network, ctx: Context, meter: Meter
) -> tuple[Tensors, dict[str, float]]:
    """`logits` [n k] of the plain images, or half-precision `views` [epochs n k] in stream order.

    `rows` [epochs n] names the image of every view, so that a mismatch can be seen.
    """
    if spec.augmentation is None:
        return {"logits": predict(teacher.module, stream.images, stream.info, ctx)}, {}
    views, rows = [], []
    meter.group()
    with ctx.progress.stage("relabel: ask the teacher", spec.epochs) as advance:
        for epoch in range(spec.epochs):
            batches = list(stream.epoch(epoch))
            views.append(torch.cat([ask(teacher, b.images, ctx).half().cpu() for b in batches]))
            rows.append(torch.cat([b.indices for b in batches]))
            meter.tick()
            advance(1)
    return {"views": torch.stack(views), "rows": torch.stack(rows)}, {}


@torch.no_grad()
def ask(teacher: Network, images: Float[Tensor, "b c h w"], ctx: Context) -> Float[Tensor, "b k"]:
    """The teacher's logits, rounded to half precision: what is stored and what is asked agree."""
    with ctx.autocast():
        return teacher.module(images).half().float()
