"""A training step of ConvNet-D3, which the DC family uses: the harness's layers beside torch's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.perf.report import Limit, Part, Row
from benchmarks.perf.timing import Work, interleave, ratio
from benchmarks.perf.world import Settings, build_stock, describe_noise
from ddbench.api.types import DatasetInfo
from ddbench.nn.build import build_network
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.convnet import ConvNetD

PIXELS, CLASSES = 32, 10


def measure(settings: Settings) -> Part:
    settings = replace(settings, resolution=PIXELS)
    info = describe_noise(settings, CLASSES, CLASSES)
    images = torch.randn(settings.batch, 3, info.resolution, info.resolution).to(settings.device)
    labels = (torch.arange(settings.batch) % CLASSES).to(settings.device)
    module = build_network(ConvNetD(3), info, 0, settings.ctx)
    works = {
        "harness": make_step(module, images, labels, settings.ctx),
        "torch's layers, fp32": make_step(make_bare(info, settings), images, labels, Context()),
        "torch's layers, same precision": make_step(
            make_bare(info, settings), images, labels, settings.ctx
        ),
    }
    times = interleave(
        {name: Work(work) for name, work in works.items()}, settings.repeats, settings.device
    )
    ours, plain, floor = times.values()
    device = settings.device
    return Part(
        f"A training step of ConvNet-D3 with instance norm: {info.resolution} pixels, "
        f"batch {settings.batch}",
        [Row(name, "s / step", timing) for name, timing in times.items()],
        [
            Limit("harness / same layers", ratio(ours, floor, device), most=1.25, goal=1),
            Limit("fp32 / harness", ratio(plain, ours, device), least=1.0),
        ],
        ("torch's layers see images with channels first, where its GroupNorm is fastest.",),
    )


def make_bare(info: DatasetInfo, settings: Settings) -> nn.Module:
    """Makes the network of torch's own layers, which leaves the layout of images as it is."""
    module = build_stock(ConvNetD(3), info, 0, settings.device)
    features = [*module.get_submodule("features").children()]
    return nn.Sequential(*features, nn.Flatten(), module.get_submodule("classifier"))


def make_step(
    module: nn.Module, images: Tensor, labels: Tensor, ctx: Context
) -> Callable[[], object]:
    sgd = torch.optim.SGD(module.parameters(), lr=0.01)

    def run() -> None:
        with ctx.autocast():
            logits = module(images)
        sgd.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels).backward()
        sgd.step()

    return run
