"""A frozen network that reports what taps ask for, reduced where it appears."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddbench.api.errors import DDBenchWarning, unknown
from ddbench.api.plain import use_plain_operations
from ddbench.api.types import Activations, FusedReduction, Network, Tap, Tensors
from ddbench.nn.checkpointing import list_blocks, recompute
from ddbench.nn.frozen_layers import use_lean_layers
from ddbench.nn.surgery import Forward, move_network, stand_in
from ddbench.runtime.context import Context


class Probe:
    """Calls a frozen network and reduces the tapped activations inside its forward pass.

    No list of feature maps is kept: a hook hands each activation to its reduction at once, or the
    reduction does the module's own work on the way, where it knows how (`FusedReduction`).

    Args:
        network: Put into eval mode, parameters frozen, by `freeze_network`.
        taps: What to report; equal taps are reduced once.
        ctx: Gives the precision of autocast.
        checkpointed: Whether blocks keep their inputs alone and are computed again in the backward
            pass (activation checkpointing): less memory, more time, the same numbers.
        compiled: Whether calls go through `torch.compile`, which takes a minute at the first. The
            compiler then joins operations as it sees fit, instead of `FusedReduction`.

    Raises:
        DDBenchError: a tap names a layer that the network does not have.
    """

    def __init__(
        self,
        network: Network,
        taps: Iterable[Tap],
        ctx: Context,
        *,
        compiled: bool = False,
        checkpointed: bool = False,
    ) -> None:
        self.network = network
        self.taps = tuple(dict.fromkeys(taps))
        self._ctx = ctx
        self._tapped: dict[int, Tensors] = {}  # by place in `taps`
        self._listening = False
        """Not while a block is computed again: what it reports was reported before."""
        self._blocks: list[tuple[nn.Module, Forward]] = []
        self._handles: list[Any] = []
        modules = dict(network.module.named_modules())
        by_place: dict[tuple[str, str], list[Tap]] = defaultdict(list)
        for tap in self.taps:
            if tap.layer not in modules:
                raise unknown("layer", tap.layer, modules)
            by_place[tap.layer, tap.side].append(tap)
        self._fused: list[tuple[nn.Module, Forward]] = []
        for (layer, side), here in by_place.items():
            module = modules[layer]
            alone = side == "input" and len(here) == 1 and not compiled
            if alone and _can_fuse(module, here[0].reduction):
                self._fused.append((module, self._fuse(module, here[0])))
            else:
                self._handles.append(self._hook(module, side, here))

        self.compiled = compiled
        """Whether calls are compiled; false once that has failed."""
        if checkpointed:
            self.checkpoint()
        self._pass = self._compile() if compiled else self._forward

    def _hook(self, module: nn.Module, side: str, taps: list[Tap]) -> Any:
        reductions = {self.taps.index(tap): tap.reduction for tap in taps}

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            for place, reduction in reductions.items():
                self._report(place, reduction.reduce(inputs[0]))

        def after(_: nn.Module, __: Any, output: Any) -> None:
            for place, reduction in reductions.items():
                self._report(place, reduction.reduce(output))

        if side == "input":
            return module.register_forward_pre_hook(before)
        return module.register_forward_hook(after)

    def _fuse(self, module: nn.Module, tap: Tap) -> Callable[[Tensor], Tensor]:
        """Returns the module's forward that reduces its input on the way, where it can."""
        forward, reduction, place = module.forward, tap.reduction, self.taps.index(tap)
        assert isinstance(reduction, FusedReduction)

        def run(activation: Tensor) -> Tensor:
            both = reduction.through(module, activation)
            if both is None:
                self._report(place, reduction.reduce(activation))
                return forward(activation)
            self._report(place, both[1])
            return both[0]

        return run

    def _report(self, place: int, tensors: Tensors) -> None:
        if self._listening:
            self._tapped[place] = tensors

    @property
    def checkpointed(self) -> bool:
        """True if blocks are computed again in the backward pass."""
        return bool(self._blocks)

    def checkpoint(self) -> bool:
        """Has blocks computed again in the backward pass from now on.

        Returns:
            Whether that is new; false if it was so, and for networks that are no row of blocks.
        """
        if self._blocks:
            return False

        around = functools.partial(stand_in, self._fused)
        for block in list_blocks(self.network.module):
            if "forward" not in vars(block):
                self._blocks.append((block, recompute(block, around)))
        return self.checkpointed

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Activations:
        """Runs one forward pass, differentiable in the images."""
        self._listening = True
        try:
            with self._ctx.autocast(), stand_in([*self._fused, *self._blocks]):
                logits, tapped = self._pass(images)
        finally:
            self._listening = False
        self._tapped = {}
        by_tap = {self.taps[place]: tensors for place, tensors in tapped.items()}
        return Activations(logits.float() if logits.dtype.itemsize < 4 else logits, by_tap)

    def _forward(self, images: Float[Tensor, "b c h w"]) -> tuple[Tensor, dict[int, Tensors]]:
        self._tapped = {}
        logits = self.network.module(images)
        return logits, self._tapped

    def _compile(self) -> Callable[[Tensor], tuple[Tensor, dict[int, Tensors]]]:
        """Returns the forward pass by `torch.compile`, or as it is where that fails."""
        attempt = torch.compile(self._forward)

        def forward(images: Tensor) -> tuple[Tensor, dict[int, Tensors]]:
            from torch._dynamo.exc import TorchDynamoException

            try:
                return attempt(images)
            except TorchDynamoException as fault:
                first = str(fault).strip().splitlines()[0]
                warnings.warn(
                    f"torch.compile cannot compile {type(self.network.module).__name__} here "
                    f"({first}); going on without it",
                    DDBenchWarning,
                    stacklevel=2,
                )
                self._pass, self.compiled = self._forward, False
                return self._forward(images)

        return forward

    def close(self) -> None:
        """Takes the hooks out of the network again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self.compiled:  # torch stops compiling a function that it has compiled eight times
            torch.compiler.reset()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _can_fuse(module: nn.Module, reduction: object) -> bool:
    """Tells whether a reduction may do a module's work on the way, whose forward is its own."""
    fused = isinstance(reduction, FusedReduction) and not use_plain_operations()
    return fused and "forward" not in vars(module)


def freeze_network(network: Network, ctx: Context) -> Network:
    """Freezes a network on the context's device: eval mode, no weight gradients, channels_last.

    Its layers keep no activation that only a gradient of the weights would need, and under bf16 its
    kernels are kept in it.
    """
    module = move_network(network.module, ctx.device)
    use_lean_layers(module.eval().requires_grad_(False), half=ctx.precision == "bf16")
    return network
