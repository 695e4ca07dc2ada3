"""The network, images made of noise, and sizes that all parts are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ddbench.api.types import DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.runtime.context import Context, Precision, use_seed
from ddbench.training.batches import normalise
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the command line."""

    device: str = "cpu"
    precision: Precision = "fp32"
    """Precision of the harness and of the floor; the plain loop is fp32 always."""
    quick: bool = False
    resolution: int = 64
    batch: int = 100
    repeats: int = 7
    threads: int = 1
    """Threads of a CPU."""
    classes: int = 10
    """Classes in recover."""
    ipc: int = 0
    """Images of a class in recover; 0 for as many as make one batch."""
    iterations: int = 0
    """Iterations of one measured call of recover; 0 for the usual number."""
    width: int = 0
    """Channels of a ConvNet-D3 with BatchNorm; 0 for a ResNet-18."""
    images: str = ""
    """Class folders `train/` and `test/` of JPEG files for the whole pipeline; "" to make some."""
    checkpoint: bool = False
    """True where the harness computes activations again instead of keeping them."""
    teachers: str = ""
    """A cache that holds the teacher of the whole pipeline; "" to train one first."""

    @property
    def ctx(self) -> Context:
        return Context(device=self.device, precision=self.precision, checkpoint=self.checkpoint)

    @property
    def each(self) -> int:
        """Images of every class in recover."""
        return self.ipc or self.batch // self.classes

    @property
    def architecture(self) -> ResNet | ConvNetD:
        """Architecture of the teacher."""
        return ConvNetD(3, self.width, norm="batch") if self.width else ResNet(18)

    def size(self, full: int, quick: int) -> int:
        """Returns a size, which `--quick` makes small."""
        return quick if self.quick else full


def describe_noise(settings: Settings, classes: int, count: int) -> DatasetInfo:
    """Describes a data set of `count` images, spread over the classes."""
    each = tuple(len(part) for part in torch.arange(count).tensor_split(classes))
    return DatasetInfo(
        name="noise",
        classes=tuple(f"c{index}" for index in range(classes)),
        shape=(3, settings.resolution, settings.resolution),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        train_counts=each,
        test_counts=each,
        fingerprint="noise",
    )


def make_noise(info: DatasetInfo, seed: int = 0) -> RealData:
    """Makes images of coarse noise, mixed over the classes, the same for training and test."""
    rng = torch.Generator().manual_seed(seed)
    count, (channels, height, width) = sum(info.train_counts), info.shape
    coarse = torch.rand(count, channels, 8, 8, generator=rng)
    images = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    labels = torch.arange(info.num_classes).repeat_interleave(torch.tensor(info.train_counts))
    labels = labels[torch.randperm(count, generator=rng)]
    stored = (images * 255).round().to(torch.uint8)
    return RealData(info, stored, labels, stored, labels)


def make_teacher(data: RealData, settings: Settings) -> Network:
    """Makes a network whose running statistics are those of some images, for the harness."""
    ctx = settings.ctx
    architecture = settings.architecture
    module = build_network(architecture, data.info, 0, ctx)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module.train()(normalise(data.train_images[:32].to(ctx.device), data.info))
    return freeze_network(Network(module, architecture.classifier(module)), ctx)


def build_stock(
    architecture: ResNet | ConvNetD, info: DatasetInfo, seed: int, device: str
) -> nn.Module:
    """Builds a network of torch's own layers: the harness has convolutions of its own."""
    with use_seed(seed):
        return architecture.build(info).to(device)


def copy_bare(network: Network, data: RealData, settings: Settings) -> nn.Module:
    """Copies the teacher to torch's own layers, in the harness's layout, for the floor."""
    module = build_stock(settings.architecture, data.info, 0, settings.device)
    module.load_state_dict(network.module.state_dict(), assign=True)  # channels are last there
    return module.eval().requires_grad_(False)


def _count_outputs(network: Network) -> int:
    classifier = network.module.get_submodule(network.classifier)
    assert isinstance(classifier, nn.Linear)
    return classifier.out_features


def copy_contiguous(network: Network, settings: Settings) -> nn.Module:
    """Copies the network as the field holds it: fp32, contiguous, frozen, in eval mode."""
    info = DatasetInfo(
        "",
        ("",) * _count_outputs(network),
        (3, settings.resolution, settings.resolution),
        (),
        (),
        (),
        (),
        "",
    )
    module = build_stock(ResNet(18), info, 0, settings.device)
    module.load_state_dict(network.module.state_dict())
    module = module.to(memory_format=torch.contiguous_format)
    return module.eval().requires_grad_(False)
