"""Residual networks: first layers, pretrained weights, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.resnet import ResNet

REFUSED = (DDBenchError, TypeCheckError)
"""The latter comes first where a test run checks annotations."""


@pytest.mark.parametrize(
    ("stem", "resolution", "kernel", "stride", "padding", "pooled"),
    [
        ("auto", 8, 3, 1, 1, False),
        ("auto", 32, 3, 1, 1, False),
        ("auto", 63, 3, 1, 1, False),
        ("auto", 64, 7, 2, 3, True),
        ("auto", 224, 7, 2, 3, True),
        ("small", 224, 3, 1, 1, False),
        ("imagenet", 32, 7, 2, 3, True),
        ("tiny_imagenet", 224, 3, 2, 3, False),
    ],
)
def test_stem(stem, resolution: int, kernel: int, stride: int, padding: int, pooled: bool):
    module = ResNet(18, stem=stem).build(tiny_info(5, resolution))
    conv = module.conv1
    assert (conv.kernel_size, conv.stride, conv.padding) == (
        (kernel, kernel),
        (stride, stride),
        (padding, padding),
    )
    assert conv.bias is None
    assert isinstance(module.maxpool, nn.MaxPool2d if pooled else nn.Identity)


def test_tiny_imagenet_stem_makes_114_of_224():
    conv = ResNet(18, stem="tiny_imagenet").build(tiny_info(5, 224)).conv1
    assert conv(torch.zeros(1, 3, 224, 224)).shape == (1, 64, 114, 114)


def test_resnet_equals_torchvisions_at_224():
    from torchvision.models import resnet18

    torch.manual_seed(3)
    ours = ResNet(18).build(tiny_info(5, 224))
    torch.manual_seed(3)
    theirs = resnet18(num_classes=5)
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


def test_resnet_says_what_it_does_not_know():
    with pytest.raises(REFUSED, match="depth"):
        ResNet(20).build(tiny_info(5, 32))
    with pytest.raises(REFUSED, match="big"):
        ResNet(18, stem="big")  # pyright: ignore


def test_pretrained_needs_imagenets_classes():
    with pytest.raises(IncompatibleError, match="does not fit") as caught:
        ResNet(18, pretrained=True).build(tiny_info(5, 224))
    assert "no WNID of ImageNet-1K: class0, class1, class2, class3, class4" in str(caught.value)


def test_pretrained_keeps_the_rows_of_the_classes(monkeypatch: pytest.MonkeyPatch):
    import torchvision.models

    whole = torchvision.models.resnet18(num_classes=1000)
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: whole)
    bias = whole.fc.bias.detach().clone()
    built = ResNet(18, pretrained=True).build(
        replace(tiny_info(2, 224), classes=("n01443537", "n01440764"))
    )
    torch.testing.assert_close(built.fc.bias.detach(), bias[[1, 0]])
    assert built.fc.weight.shape == (2, 512)


def test_pretrained_without_network(monkeypatch: pytest.MonkeyPatch):
    import torchvision.models

    def offline(name: str, weights: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(DDBenchError, match="could not download the weights of resnet18"):
        ResNet(18, pretrained=True).build(
            replace(tiny_info(2, 224), classes=("n01440764", "n01443537"))
        )
