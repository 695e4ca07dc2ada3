"""statistics: one pass over the real data gives everything that matchers and regularizers know."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddbench.api.roles import Statistic
from ddbench.api.tensors import send_to
from ddbench.api.types import Network, Tensors
from ddbench.data.real import RealData
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.training.batches import normalise

BATCH = 250


@torch.no_grad()
def compute_statistics(
    wanted: Sequence[Statistic], data: RealData, teacher: Network, ctx: Context, meter: Meter
) -> list[Tensors]:
    """Each wanted statistic of all training images, plain and in the data set's order."""
    taps = [tap for statistic in wanted for tap in statistic.taps(teacher)]
    states = [statistic.start(teacher, data.info) for statistic in wanted]
    meter.group()
    with (
        Probe(teacher, taps, ctx) as probe,
        ctx.progress.stage("statistics: one pass", len(data.train_labels)) as advance,
    ):
        chunks, classes = data.train_images.split(BATCH), data.train_labels.split(BATCH)
        following = send_to(chunks[0], ctx.device)
        for number, labels in enumerate(classes):
            acts = probe(normalise(following, data.info))
            if number + 1 < len(chunks):  # on its way while a GPU is busy with this one
                following = send_to(chunks[number + 1], ctx.device)
            there = send_to(labels, ctx.device)
            states = [s.update(state, acts, there) for s, state in zip(wanted, states, strict=True)]
            meter.tick()
            advance(len(labels))
    return [s.finish(state) for s, state in zip(wanted, states, strict=True)]
