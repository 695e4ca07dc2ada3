"""Blocks of a network whose activations are computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def list_blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Lists the blocks that a network is a row of, such as a ResNet's residual blocks.

    They are the members of its sequences that have layers of their own; sequences of sequences are
    looked into.
    """
    for child in network.children():
        if _is_row(child):
            yield from _list_members(child)


def _list_members(row: nn.Module) -> Iterator[nn.Module]:
    for member in row.children():
        if _is_row(member):
            yield from _list_members(member)
        elif _has_layers(member):
            yield member


def _is_row(module: nn.Module) -> bool:
    sequence = isinstance(module, (nn.Sequential, nn.ModuleList))
    return sequence and any(_has_layers(member) for member in module.children())


def _has_layers(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def recompute(
    block: nn.Module, around: Callable[[], Any]
) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    """Returns a forward of a block that keeps only its inputs, and computes the rest again.

    The numbers are the same: a frozen network in eval mode gives the same twice.

    Args:
        block: The block, called with tensors.
        around: A context in which the block runs, in the forward pass and again.
    """
    forward = block.forward

    def run(*inputs: Any, **named: Any) -> Any:
        with around():
            return forward(*inputs, **named)

    def either(*inputs: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return forward(*inputs, **named)
        return checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False, **named)

    return either
