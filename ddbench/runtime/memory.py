"""Room in memory: how often work fits, what a lack of it looks like, and freed memory kept."""

from __future__ import annotations

import ctypes
import gc
import sys
import traceback
from collections.abc import Callable

import psutil
import torch

_SIGNS = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Substrings of out-of-memory errors that are not torch.OutOfMemoryError."""


def room_for(work: Callable[[], object], device: str) -> float:
    """Returns the free bytes of a device over the bytes that some work needs at its height.

    On CUDA the height is measured. Elsewhere it is estimated: what is kept for the backward pass,
    and as much again for gradients and intermediate results.

    Args:
        work: Is run once.
        device: Where the work runs.
    """
    gc.collect()
    if not device.startswith("cuda"):
        return room_beside(count_kept_bytes(work))
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    needed = torch.cuda.max_memory_allocated(device) - before
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + held) / max(1, needed)


def room_beside(kept: int) -> float:
    """Returns how often RAM has room for work that keeps so many bytes for backward passes."""
    return psutil.virtual_memory().available / max(1, 2 * kept)


def count_kept_bytes(work: Callable[[], object]) -> int:
    """Runs some work and returns the bytes of all tensors that autograd keeps, parameters too."""
    sizes: dict[int, int] = {}
    kept: list[torch.Tensor] = []  # a freed storage's address may be given to the next

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in sizes:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    return sum(sizes.values())


def is_out_of_memory(fault: Exception) -> bool:
    """Tells whether a device or the machine had no room; torch itself does not always say so."""
    if isinstance(fault, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(fault, RuntimeError) and any(sign in str(fault) for sign in _SIGNS)


def let_go(fault: BaseException) -> None:
    """Gives back what a failed piece of work held: a traceback keeps its activations alive."""
    traceback.clear_frames(fault.__traceback__)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


# -- the C library's allocator -------------------------------------------------------------------

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1
_ALWAYS_ACCEPTED = 32 * 2**20
"""Bytes of the largest block that older C libraries take from the heap."""


def keep_freed_memory() -> bool:
    """Tells the C library's allocator to hold on to what activations have used.

    By default every large activation is mapped, cleared page by page and unmapped again, at every
    iteration: tens of thousands of page faults, a fifth of the processor time of a recover
    iteration. Peak memory is what it was; it only stays until the process ends.

    Returns:
        Whether there was such an allocator (glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    took = mallopt(_MMAP_THRESHOLD, _LARGEST) or mallopt(_MMAP_THRESHOLD, _ALWAYS_ACCEPTED)
    return bool(took and mallopt(_TRIM_THRESHOLD, _LARGEST))
