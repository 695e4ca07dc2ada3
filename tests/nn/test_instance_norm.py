"""Normalisation where channels are last is GroupNorm of one channel a group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddbench.nn.build import build_network
from ddbench.nn.instance_norm import InstanceNorm, use_instance_norms
from ddbench.runtime.context import Context
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.convnet import ConvNetD


def norms(dtype: torch.dtype = torch.float64) -> tuple[nn.GroupNorm, InstanceNorm]:
    plain = nn.GroupNorm(5, 5).to(dtype)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    ours = use_instance_norms(nn.GroupNorm(5, 5).to(dtype))
    ours.load_state_dict(plain.state_dict())
    assert type(ours) is InstanceNorm
    return plain, ours


def maps(count: int, side: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Means far from zero, channels last."""
    x = torch.randn(count, 5, side, side + 1) + torch.linspace(-3, 3, 5).view(1, -1, 1, 1)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def gradients(norm: nn.Module, x: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
    x = x.detach().requires_grad_(True)
    y = norm(x)
    return y, *torch.autograd.grad(y, [x, norm.weight, norm.bias], slope)


@pytest.mark.parametrize(("count", "side"), [(3, 4), (300, 20), (1, 9)])
def test_values_and_gradients_are_those_of_torch(count: int, side: int) -> None:
    plain, ours = norms()
    x = maps(count, side)
    slope = torch.randn_like(x)
    found = gradients(ours, x, slope)
    for one, wanted in zip(found, gradients(plain, x.contiguous(), slope), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-9)
    assert found[0].grad_fn.name() != gradients(plain, x, slope)[0].grad_fn.name()
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert found[1].is_contiguous(memory_format=torch.channels_last)


def test_a_slope_in_another_layout_is_welcome() -> None:
    plain, ours = norms()
    x = maps(3, 4)
    for slope in (torch.randn(x.shape).double(), torch.ones(1, 1, 1, 1).double().expand(x.shape)):
        wanted = gradients(plain, x, slope)
        for one, other in zip(gradients(ours, x, slope), wanted, strict=True):
            torch.testing.assert_close(one, other)


def test_it_is_differentiable_twice() -> None:
    """What unrolls a training derives the gradients, of weights too."""
    _, ours = norms()
    x = maps(2, 2).requires_grad_(True)

    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, ours.weight, ours.bias)
    assert torch.autograd.gradcheck(norm, inputs)
    assert torch.autograd.gradgradcheck(norm, inputs)


def test_torchs_own_transforms_pass_through() -> None:
    plain, ours = norms()
    x = maps(2, 3)

    def twice(norm: nn.Module) -> Tensor:
        steep = torch.func.grad(lambda x: norm(x).pow(3).sum())
        return torch.func.grad(lambda x: steep(x).square().sum())(x)

    torch.testing.assert_close(twice(ours), twice(plain))


def test_half_precision_is_rounded_once() -> None:
    plain, ours = norms(torch.float32)
    x = maps(4, 8, torch.bfloat16)
    slope = torch.randn_like(x)
    wide = nn.GroupNorm(5, 5).double()
    wide.load_state_dict(plain.state_dict())
    half, single = torch.finfo(torch.bfloat16).eps / 2 * 1.01, 1e-4
    for one, wanted in zip(
        gradients(ours, x, slope), gradients(wide, x.double(), slope.double()), strict=True
    ):
        bound = half if one.dtype == torch.bfloat16 else single
        torch.testing.assert_close(one.double(), wanted, rtol=bound, atol=1e-4)


OTHERS = {
    "contiguous": (2, 5, 4, 4),
    "pixel": (2, 5, 1, 1),
    "none": (0, 5, 4, 4),
    "line": (2, 5, 7),
}


@pytest.mark.parametrize("shape", OTHERS.values(), ids=OTHERS)
def test_what_is_not_channels_last_is_torchs_own(shape: tuple[int, ...]) -> None:
    (plain, ours), x = norms(torch.float32), torch.randn(shape)
    assert torch.equal(ours(x), plain(x))


def test_convnets_have_it_and_other_groups_are_left_alone() -> None:
    module = build_network(ConvNetD(2, 8), tiny_info(pixels=16), 0, Context())
    found = [layer for layer in module.modules() if isinstance(layer, nn.GroupNorm)]
    assert len(found) == 2
    assert all(type(layer) is InstanceNorm for layer in found)
    others = nn.Sequential(nn.GroupNorm(2, 4), nn.GroupNorm(4, 4, affine=False))
    assert not any(isinstance(layer, InstanceNorm) for layer in use_instance_norms(others))
