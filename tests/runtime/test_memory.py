"""Room in memory: what failed work holds, which failures are a lack of it, freed memory kept."""

from __future__ import annotations

import subprocess
import sys
import weakref

import pytest
import torch

from ddbench.runtime import memory
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


COUNT_FAULTS = """
import resource, sys
import torch
from ddbench.runtime import memory
from ddbench.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    raise SystemExit("no such allocator")
def step():
    torch.ones(2**22).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(); step()
counts = [step() for _ in range(8)]
print(min(after - before for before, after in zip(counts, counts[1:])))
"""


def faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS, mode], capture_output=True, text=True, check=False
    )
    if "no such allocator" in done.stderr:
        pytest.skip("another C library")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_second_allocation_of_a_size_faults_no_page() -> None:
    assert faults("keep") < 100


def test_room_counts_what_the_backward_pass_keeps_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        available = 8_000_000

    monkeypatch.setattr(memory.psutil, "virtual_memory", Free)
    leaf = torch.ones(1000, requires_grad=True)

    def work() -> torch.Tensor:
        return (leaf.exp() * leaf.exp()).sum()  # keeps both exponentials: as results and factors

    assert memory.room_for(work, "cpu") == 8_000_000 / (2 * 2 * 4000)


@pytest.mark.gpu
def test_room_measures_the_height_on_a_device() -> None:
    def work() -> torch.Tensor:
        return torch.ones(64, 1024, 1024, device="cuda").sum()  # 256 MB

    total = torch.cuda.mem_get_info()[1]
    assert memory.room_for(work, "cuda") < total / 2**28 + 1


def test_a_machine_without_room_is_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape '[2]' is invalid"))
