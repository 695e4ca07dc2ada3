"""Tensors are sent to a GPU without waiting, and sums are taken in float32 at least."""

from __future__ import annotations

import pytest
import torch

from ddbench.api.tensors import send_to, widen


class Recorded(torch.Tensor):
    """A tensor of the CPU that writes down how it is sent."""

    how: list[object]

    def pin_memory(self) -> Recorded:
        self.how.append("pinned")
        return self

    def to(self, device: object, non_blocking: bool = False) -> Recorded:
        self.how.append(f"to {device}{', not waited for' if non_blocking else ''}")
        return self


@pytest.mark.parametrize(
    ("size", "device", "how"),
    [
        (8, "cuda:1", ["to cuda:1, not waited for"]),
        (2**20, "cuda", ["pinned", "to cuda, not waited for"]),
        (2**20, "cpu", ["to cpu"]),
        (2**20, "mps", ["to mps"]),
    ],
)
def test_what_goes_to_a_gpu_is_not_waited_for(size: int, device: str, how: list[object]) -> None:
    tensor = torch.zeros(size, dtype=torch.uint8).as_subclass(Recorded)
    tensor.how = []
    send_to(tensor, device)
    assert tensor.how == how


def test_a_tensor_that_is_there_is_not_copied() -> None:
    here = torch.ones(3)
    assert send_to(here, "cpu") is here


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_and_nothing_else(half: torch.dtype) -> None:
    assert widen(torch.ones(2, dtype=half)).dtype == torch.float32
    for dtype in (torch.float32, torch.float64):
        wide = torch.ones(2, dtype=dtype)
        assert widen(wide) is wide
