"""What a failed piece of work holds, and which failures are a lack of memory."""

from __future__ import annotations

import weakref

import pytest
import torch

from ddbench.runtime.memory import is_out_of_memory, let_go


class Held:
    """Stands for an activation."""


def test_a_caught_fault_holds_nothing_and_still_says_where():
    seen: list[weakref.ref[Held]] = []

    def work() -> None:
        activation = Held()
        seen.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError) as caught:
        work()
    fault = caught.value
    assert seen[0]() is not None
    let_go(fault)
    assert seen[0]() is None
    assert fault.__traceback__ is not None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (torch.OutOfMemoryError("no room"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
    ids=str,
)
def test_a_lack_of_memory_is_known_by_what_it_says(fault, expected):
    assert is_out_of_memory(fault) is expected
