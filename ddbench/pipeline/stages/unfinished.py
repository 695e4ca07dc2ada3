"""Finished groups of a stage that could not be ended: whether they are still good."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ddbench.runtime.memory import is_out_of_memory
from ddbench.store.cache import PartialGroups


@contextlib.contextmanager
def cleared_by_a_fault(partial: PartialGroups) -> Iterator[None]:
    """Throws finished groups away where a part itself failed: mended, it may make others.

    Its key stays the same, so that a set would be of two codes. They are kept after a kill, and
    where the machine is to blame: memory, disk, device.
    """
    try:
        yield
    except Exception as fault:
        if not _of_the_machine(fault):
            partial.clear()
        raise


def _of_the_machine(fault: Exception) -> bool:
    """A full disk comes as a DDBenchError that has the disk's own error as its cause."""
    if isinstance(fault, OSError) or isinstance(fault.__cause__, OSError):
        return True
    if "SafetensorError" in (type(fault).__name__, type(fault.__cause__).__name__):
        return True
    return is_out_of_memory(fault) or "CUDA error" in str(fault)
