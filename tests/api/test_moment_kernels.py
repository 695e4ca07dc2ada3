"""Each way to add up moments gives those of float64 operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddbench.api import moment_kernels
from ddbench.api.moment_kernels import _reduce
from ddbench.api.moments import ChannelMoments

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def maps(layout: str, shape: tuple[int, ...] = (30, 5, 40, 30)) -> Tensor:
    """Means far from zero; large enough for several pieces."""
    rng = torch.Generator().manual_seed(0)
    found = torch.randn(shape, generator=rng) + torch.linspace(-3, 3, shape[1]).view(1, -1, 1, 1)
    return found.contiguous(memory_format=LAYOUTS[layout]).requires_grad_(True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_what_a_gpu_reduces_is_the_same(layout: str, dtype: torch.dtype) -> None:
    x = maps(layout).detach().to(dtype)
    bound = 1e-12 if dtype == torch.float64 else 1e-5
    for found, plain in zip(
        _reduce(x, (2, 3)), (x.double().mean((2, 3)), x.double().square().mean((2, 3))),
        strict=True,
    ):  # fmt: skip
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(found.double(), plain, rtol=bound, atol=bound)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 64, 32, 33), (2, 8, 224, 224), (2, 300, 16, 16)])
def test_large_images_of_half_precision_add_up_as_well(
    layout: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_image = []
    whole = moment_kernels._average_images
    monkeypatch.setattr(
        moment_kernels, "_average_images", lambda x: by_image.append(len(x)) or whole(x)
    )
    one = maps(layout, shape).bfloat16()
    found = ChannelMoments().reduce(one)
    assert by_image == [len(one)]
    wide = one.detach().double()
    for name, exact in ("mean", wide.mean((2, 3))), ("square", wide.square().mean((2, 3))):
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name].double(), exact, rtol=5e-5, atol=1e-5)
    ChannelMoments().reduce(one.float())
    ChannelMoments().reduce(one[:, :, :8, :8])
    assert len(by_image) == 1  # float32 adds up in a tree, and small images take longer so
