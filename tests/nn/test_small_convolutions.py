"""Convolutions of small maps as products are the convolutions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.types import DatasetInfo, Network
from ddbench.nn import small_convolutions
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.nn.small_convolutions import SmallMapConv2d, use_small_maps
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.resnet import ResNet

SIDES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (2, 3), (4, 4), (5, 3), (1, 7), (6, 5), (9, 9)]
"""Products that leave padding out up to two pixels a side, of patches up to 16 or 64 positions."""


def pair(stride: int = 1, bias: bool = True, size: int = 3) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A plain convolution and the other, of the same numbers."""
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, size, stride, size // 2, bias=bias).double()
    other = copy.deepcopy(plain)
    use_small_maps(nn.Sequential(other))
    assert type(other) is SmallMapConv2d
    return plain, other


def images(side: tuple[int, int] = (2, 2), count: int = 4) -> Tensor:
    drawn = torch.randn(count, 5, *side, dtype=torch.float64, generator=torch.Generator())
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_plain_convolution(side, stride, size, bias):
    found: list[list[Tensor]] = []
    for layer in pair(stride, bias, size):
        own = images(side).requires_grad_(True)
        out = layer(own)
        loss = (out.square() * torch.arange(out.numel()).view_as(out)).sum()
        found.append([out, *torch.autograd.grad(loss, [own, *layer.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "stride", "size", "frozen", "way"),
    [
        ((2, 2), 1, 3, False, "matrix"), ((2, 1), 2, 3, True, "matrix"),
        ((4, 4), 1, 3, False, "patches"), ((8, 8), 2, 3, True, "patches"),
        ((4, 4), 1, 3, True, "plain"), ((5, 4), 1, 3, False, "plain"),
        ((8, 8), 1, 1, False, "patches"), ((16, 16), 2, 1, True, "patches"),
        ((8, 8), 1, 1, True, "plain"), ((9, 8), 1, 1, False, "plain"),
    ],
)  # fmt: skip
def test_how_a_map_is_convolved_depends_on_its_size(monkeypatch, side, stride, size, frozen, way):
    taken = []

    def convolve(*given: Any) -> Tensor:
        taken.append("patches" if given[3] is None else "matrix")
        return usual(*given)

    usual = small_convolutions.convolve
    monkeypatch.setattr(small_convolutions, "convolve", convolve)
    _, layer = pair(stride, size=size)
    layer.requires_grad_(not frozen)
    layer(images(side))
    assert taken == ([] if way == "plain" else [way])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 3)])
def test_gradients_can_be_differentiated_again(side, size, stride):
    """As gradient and trajectory matching do."""
    _, layer = pair(stride, size=size)

    def out(shown: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (shown,))

    inputs = (images(side, 2).requires_grad_(True), layer.weight.detach().requires_grad_(True))
    assert torch.autograd.gradcheck(out, inputs)
    assert torch.autograd.gradgradcheck(out, inputs)
    slope = torch.func.grad(lambda weight: out(inputs[0], weight).square().sum())(inputs[1])
    (wanted,) = torch.autograd.grad(out(*inputs).square().sum(), inputs[1:])
    torch.testing.assert_close(slope, wanted)


def test_a_frozen_kernel_that_changes_is_seen():
    plain, layer = pair()
    for one in (plain, layer):
        one.requires_grad_(False)
    shown = images()
    layer(shown)
    for change in (
        lambda one: one.weight.mul_(2),
        lambda one: setattr(one.weight, "data", one.weight.data + 1),
        lambda one: one.load_state_dict({n: t + 1 for n, t in one.state_dict().items()}),
        lambda one: one.float() and one.double(),
    ):
        for one in (plain, layer):
            change(one)
        torch.testing.assert_close(layer(shown), plain(shown), rtol=1e-12, atol=1e-12)
    twin = copy.deepcopy(layer)
    twin.weight.mul_(3)
    assert not torch.allclose(twin(shown), layer(shown))


def test_a_matrix_of_inference_mode_is_not_kept_for_gradients():
    plain, layer = pair()
    layer.requires_grad_(False)
    with torch.inference_mode():
        layer(images())
    shown = images().requires_grad_(True)
    (found,) = torch.autograd.grad(layer(shown).square().sum(), shown)
    (wanted,) = torch.autograd.grad(plain(shown).square().sum(), shown)
    torch.testing.assert_close(found, wanted)


def test_other_weights_handed_in_are_not_taken_for_the_frozen_ones():
    plain, layer = pair()
    layer.requires_grad_(False)
    for factor in (1.0, 2.0, 3.0):
        given = {"weight": plain.weight.detach() * factor, "bias": plain.bias.detach()}
        found = torch.func.functional_call(layer, given, (images(),))
        wanted = torch.func.functional_call(plain, given, (images(),))
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("side", "stride"), [((2, 2), 1), ((4, 4), 1), ((8, 8), 2)])
@pytest.mark.parametrize("frozen_", [False, True])
def test_autocast_gives_the_dtype_and_nearly_the_numbers_of_the_plain_convolution(
    side, stride, frozen_
):
    plain, layer = (one.float().requires_grad_(not frozen_) for one in pair(stride))
    found = []
    for one in (plain, layer):
        shown = images(side).float().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            out = one(shown)
        assert out.dtype is torch.bfloat16
        out.float().square().sum().backward()
        assert all(p.grad is None or p.grad.dtype is torch.float32 for p in one.parameters())
        grads = [p.grad for p in one.parameters() if not frozen_]
        found.append([out.float(), shown.grad, *grads])
    for wanted, got in zip(*found, strict=True):
        assert (got - wanted).abs().max() <= 2e-2 * wanted.abs().max()


def test_images_whose_channels_come_first_are_convolved_alike():
    plain, layer = pair()
    shown = images((4, 4)).contiguous().requires_grad_(True)
    torch.testing.assert_close(layer(shown), plain(shown))
    loose = images((4, 8))[..., ::2]  # with gaps
    torch.testing.assert_close(layer(loose), plain(loose))


def test_no_images_are_no_output():
    _, layer = pair()
    assert layer(images((4, 4), 0)).shape == (0, 7, 4, 4)


def test_other_convolutions_are_left_alone():
    class Own(nn.Conv2d):
        pass

    network = nn.Sequential(
        nn.Conv2d(4, 4, 5, padding=2), nn.Conv2d(4, 4, 1, padding=1), nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2), nn.Conv2d(4, 4, 3, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), Own(4, 4, 3, padding=1),
    )  # fmt: skip
    use_small_maps(network)
    assert not any(type(layer) is SmallMapConv2d for layer in network)


@pytest.mark.parametrize("side", [8, 64])
def test_a_network_computes_what_it_computes_without(side):
    info = DatasetInfo(
        "", ("a",) * 10, (3, side, side), (0.5,) * 3, (0.2,) * 3, (1,) * 10, (1,) * 10, ""
    )
    module = build_network(ResNet(18), info, 0, Context())
    assert any(type(layer) is SmallMapConv2d for layer in module.modules())
    plain = ResNet(18).build(info)
    plain.load_state_dict(module.state_dict())
    freeze_network(Network(module, "fc"), Context())
    shown = torch.randn(6, 3, side, side, generator=torch.Generator().manual_seed(1))
    one, other = module(shown), plain.eval()(shown)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
