"""statistics: one pass over the real data gives everything that matchers and regularizers know."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddbench.context import Context
from ddbench.data import RealData
from ddbench.meter import Meter
from ddbench.probe import Probe
from ddbench.roles import Statistic
from ddbench.stream import pixels
from ddbench.types import Network, Tensors

BATCH = 250


@torch.no_grad()
def statistics(
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
        for images, labels in zip(
            data.train_images.split(BATCH), data.train_labels.split(BATCH), strict=True
        ):
            acts = probe(pixels(images.to(ctx.device), data.info))
            there = labels.to(ctx.device)
            states = [s.update(state, acts, there) for s, state in zip(wanted, states, strict=True)]
            meter.tick()
            advance(len(labels))
    return [s.finish(state) for s, state in zip(wanted, states, strict=True)]
