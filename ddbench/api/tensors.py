"""Operations on tensors that harness and plug-ins share: sent, widened, derived values kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped

Value = TypeVar("Value")
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


@dataclass(slots=True)
class _Derived:
    """Values that were made of tensors, and how these were then."""

    state: tuple[tuple[int, int, int], ...]
    """Identity, address and version of each tensor."""
    held: tuple[Any, ...]
    """Tensors and storages, so that no other comes to have the same identity or address."""
    values: dict[Hashable, Any] = field(default_factory=dict)


def derive(
    layer: torch.nn.Module,
    tensors: Sequence[torch.Tensor],
    name: Hashable,
    make: Callable[[], Value],
) -> Value:
    """Returns `make()`, kept with a layer until one of its frozen tensors is changed or replaced.

    In inference mode, whose tensors have no version, nothing is kept.

    Args:
        layer: Keeps the value.
        tensors: What the value is made of; no gradient goes through the value.
        name: Tells values of the same tensors apart.
        make: Makes the value.
    """
    if torch.is_inference_mode_enabled() or any(tensor.is_inference() for tensor in tensors):
        return make()
    state = tuple((id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors)
    kept = layer.__dict__.get("_derived")
    if kept is None or kept.state != state:
        held = tuple((tensor, tensor.detach()) for tensor in tensors)
        kept = layer.__dict__["_derived"] = _Derived(state, held)
    if name not in kept.values:
        kept.values[name] = make()
    return kept.values[name]
