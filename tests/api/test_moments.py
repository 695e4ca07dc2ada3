"""Moments in one pass, alone and through a BatchNorm, against the operations they replace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.moments import ChannelMoments

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def frozen_norm(channels: int, affine: bool = True) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, affine=affine)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm.eval().requires_grad_(False)


def maps(layout: str, shape: tuple[int, ...] = (30, 5, 40, 30)) -> Tensor:
    """Means far from zero; large enough for several pieces."""
    rng = torch.Generator().manual_seed(0)
    found = torch.randn(shape, generator=rng) + torch.linspace(-3, 3, shape[1]).view(1, -1, 1, 1)
    return found.contiguous(memory_format=LAYOUTS[layout]).requires_grad_(True)


def loss_of(output: Tensor, mean: Tensor, square: Tensor) -> Tensor:
    """Uses all three unevenly; the activation is changed in place, as torchvision's ReLU does."""
    ramp = torch.linspace(0.1, 1, output.shape[-1])
    return (output.relu_() * ramp).square().sum() + (mean**3).sum() + (square * mean).norm()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments_are_those_of_plain_operations(layout: str) -> None:
    one = maps(layout)
    found = ChannelMoments().reduce(one)
    wide = one.detach().double()
    torch.testing.assert_close(found["mean"].double(), wide.mean((2, 3)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        found["square"].double(), wide.square().mean((2, 3)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_through_a_batch_norm_is_batch_norm_and_moments(layout: str, affine: bool) -> None:
    norm, one, two = frozen_norm(5, affine), maps(layout), maps(layout)
    output, found = ChannelMoments().through(norm, one)
    loss = loss_of(output.clone(), found["mean"], found["square"])
    plain = norm(two)
    torch.testing.assert_close(output, plain)
    expected = loss_of(plain, two.mean((2, 3)), two.square().mean((2, 3)))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(loss, [one])
    (wanted,) = torch.autograd.grad(expected, [two])
    assert (gradient - wanted).norm() <= 1e-4 * wanted.norm()
    assert gradient.is_contiguous(memory_format=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision_is_rounded_once(layout: str) -> None:
    """Output and gradient are the bfloat16 numbers nearest to those of float64, give or take one
    step where float32 in between decides otherwise."""
    norm, one = frozen_norm(5), maps(layout).detach().bfloat16().requires_grad_(True)
    output, found = ChannelMoments().through(norm, one)
    assert output.dtype == torch.bfloat16
    assert found["mean"].dtype == found["square"].dtype == torch.float32
    wide, exact = one.detach().double().requires_grad_(True), frozen_norm(5)
    exact.load_state_dict(norm.state_dict())
    plain = exact.double()(wide)
    mean, square = wide.mean((2, 3)), wide.square().mean((2, 3))
    torch.testing.assert_close(found["mean"].double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["square"].double(), square, rtol=1e-5, atol=1e-6)
    slopes = [torch.randn(t.shape).to(t.dtype) for t in (output, found["mean"], found["square"])]
    (gradient,) = torch.autograd.grad((output, found["mean"], found["square"]), one, slopes)
    (wanted,) = torch.autograd.grad((plain, mean, square), wide, [s.double() for s in slopes])
    step = torch.finfo(torch.bfloat16).eps
    torch.testing.assert_close(output.double(), plain, rtol=step / 2 * 1.01, atol=1e-5)
    torch.testing.assert_close(gradient.double(), wanted, rtol=step / 2 * 1.01, atol=1e-5)


def test_gradients_are_exact() -> None:
    norm = frozen_norm(2).double()
    start = torch.randn(3, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def both(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, found = ChannelMoments().through(norm, maps)
        return output, found["mean"], found["square"]

    assert torch.autograd.gradcheck(both, [start])
    assert torch.autograd.gradcheck(
        lambda maps: tuple(ChannelMoments().reduce(maps).values()), [start]
    )


class Louder(nn.BatchNorm2d):
    """As timm's norms with an activation: more than its parent does."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_a_norm_that_is_changed_after_all_does_what_it_does_now() -> None:
    norm, one = frozen_norm(5), maps("channels_last")
    for change in (
        lambda: norm.running_var.mul_(2),
        lambda: norm.load_state_dict(frozen_norm(5).state_dict()),
        lambda: setattr(norm, "bias", None),
        lambda: setattr(norm, "eps", 0.1),
        lambda: setattr(norm, "running_mean", torch.ones(5)),
    ):
        first, _ = ChannelMoments().through(norm, one)
        assert ChannelMoments().through(norm, one)[0].equal(first)
        change()
        second, _ = ChannelMoments().through(norm, one)
        assert not second.equal(first)
        torch.testing.assert_close(second, norm(one))
    with torch.inference_mode():
        assert ChannelMoments().through(norm, one)[0].equal(second)


def test_what_is_not_a_frozen_batch_norm_is_left_alone() -> None:
    one, moments = torch.randn(2, 3, 4, 4), ChannelMoments()
    assert moments.through(frozen_norm(3), one) is not None
    assert moments.through(frozen_norm(3).train(), one) is None
    assert moments.through(frozen_norm(3).requires_grad_(True), one) is None
    assert moments.through(Louder(3).eval().requires_grad_(False), one) is None
    assert moments.through(nn.BatchNorm2d(3, track_running_stats=False).eval(), one) is None
    assert moments.through(nn.Identity(), one) is None
    elsewhere = one.bfloat16().to("meta")  # half precision on an accelerator
    assert moments.through(frozen_norm(3).to("meta"), elsewhere) is None


def test_an_empty_batch_has_empty_moments() -> None:
    found = ChannelMoments().reduce(torch.zeros(0, 3, 4, 4))
    assert found["mean"].shape == found["square"].shape == (0, 3)
