"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from ddbench.runtime.allocator import keep_freed_memory
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
