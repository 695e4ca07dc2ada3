"""Small operations on tensors that the harness and plug-ins share: to a device, to float32."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped

_SENT_AT_ONCE = 2**16
"""Bytes up to which CUDA copies from ordinary memory without waiting; more need pinned memory."""


def send_to(tensor: Shaped[torch.Tensor, "..."], device: str | torch.device) -> torch.Tensor:
    """Returns the tensor on a device, without waiting for what a GPU is still computing.

    `Tensor.to` waits for all of it, so that a loop that sends something in every iteration leaves
    the GPU idle while the host puts the next one together.
    """
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    if tensor.nbytes > _SENT_AT_ONCE:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def widen(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Returns x in float32 if it is in half precision, where sums need more; else x itself."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
