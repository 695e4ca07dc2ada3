"""How often a piece of work would fit into the memory that is free."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from torch import Tensor


_SIGNS = (
    "DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip
"""Of no room, told by an error of another kind: on a CPU, and by CUDA's libraries."""


def room_for(work: Callable[[], object], device: str) -> float:
    """Free bytes over the bytes that `work` needs at its height.

    On CUDA the height is measured. Elsewhere it is counted: what is kept for the backward pass, and
    as much again for gradients and what comes and goes.

    Args:
        work: Is run once.
        device: Of the work.
    """
    gc.collect()
    if not device.startswith("cuda"):
        return room_beside(kept_for_backward(work))
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
    """How often ordinary memory has room for work that keeps so many bytes for backward passes."""
    return psutil.virtual_memory().available / max(1, 2 * kept)


def kept_for_backward(work: Callable[[], object]) -> int:
    """Bytes of the different tensors that autograd keeps; parameters are among them."""
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # a freed storage's address may be given to the next

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in sizes:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    return sum(sizes.values())


def is_out_of_memory(fault: Exception) -> bool:
    """Whether a device or the machine had no room; not always does torch say so itself."""
    if isinstance(fault, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(fault, RuntimeError) and any(sign in str(fault) for sign in _SIGNS)


def let_go(fault: BaseException) -> None:
    """Gives back what a failed piece of work held: a traceback keeps its activations alive."""
    traceback.clear_frames(fault.__traceback__)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
