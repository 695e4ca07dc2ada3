"""Moments of an activation per image and channel, which statistics of normalisation are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

import torch
from jaxtyping import Float

from ddbench.api.errors import IncompatibleError
from ddbench.api.plain import use_plain_operations
from ddbench.api.tensors import derive, widen
from ddbench.api.types import Network, Tap, Tensors


@dataclass(frozen=True, slots=True)
class ChannelMoments:
    """Mean and mean square over positions, per image and channel: `mean` and `square`, [b c].

    Every class-wise, weighted, global or averaged statistic of a layer is a linear or quadratic
    function of these two. Half precision is widened to float32.
    """

    def reduce(self, activation: Float[torch.Tensor, "b c ..."]) -> Tensors:
        """Returns `mean` and `square`, [b c] each, of an activation with positions."""
        if torch.compiler.is_compiling() or use_plain_operations():  # a compiler joins these
            wide = widen(activation).flatten(2)
            return {"mean": wide.mean(2), "square": wide.square().mean(2)}
        from ddbench.api.moment_kernels import SpatialMoments

        mean, square = SpatialMoments.apply(activation)
        return {"mean": mean, "square": square}

    def through(
        self, module: torch.nn.Module, activation: Float[torch.Tensor, "b c ..."]
    ) -> tuple[torch.Tensor, Tensors] | None:
        """Returns the output of a frozen BatchNorm in eval mode and its input's moments, at once.

        None for any other module, and in half precision on an accelerator, where the product of two
        roundings would show in the gradient.
        """
        half = activation.dtype.itemsize < 4 and activation.device.type != "cpu"
        if half or not _is_fixed_affine(module):
            return None
        from ddbench.api.moment_kernels import NormWithMoments

        output, mean, square = NormWithMoments.apply(activation, *_affine_map(module))
        return output, {"mean": mean, "square": square}


def _affine_map(
    norm: torch.nn.BatchNorm2d,
) -> tuple[Float[torch.Tensor, "1 c 1 1"], Float[torch.Tensor, "1 c 1 1"]]:
    """Returns scale s and shift t of a frozen BatchNorm, y = s x + t; kept with the layer."""
    mean, var, weight, bias = norm.running_mean, norm.running_var, norm.weight, norm.bias
    assert mean is not None
    assert var is not None

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        scale = torch.rsqrt(var + norm.eps)
        if weight is not None:
            scale = weight * scale
        shift = -mean * scale
        if bias is not None:
            shift = bias + shift
        return scale.detach().view(1, -1, 1, 1), shift.detach().view(1, -1, 1, 1)

    tensors = [each for each in (mean, var, weight, bias) if each is not None]
    return derive(norm, tensors, norm.eps, make)


def _is_fixed_affine(module: torch.nn.Module) -> TypeGuard[torch.nn.BatchNorm2d]:
    """Tells whether it is torch's own BatchNorm2d, not a subclass, frozen and in eval mode."""
    return (
        type(module) is torch.nn.BatchNorm2d
        and not module.training
        and module.running_mean is not None
        and not any(parameter.requires_grad for parameter in module.parameters())
    )


def moment_taps(network: Network, what: str) -> tuple[Tap, ...]:
    """Returns taps on the input of every BatchNorm2d of a network.

    Args:
        network: The network to look into.
        what: The part that asks, as an error names it.

    Raises:
        IncompatibleError: there is none.
    """
    layers = network.norm_layers()
    if not layers:
        raise IncompatibleError(
            f"{what} needs a teacher with BatchNorm2d layers",
            f"{type(network.module).__name__} has none",
            hint="take a teacher such as resnet18, or another regularizer (--regularizer none)",
        )
    return tuple(Tap(layer, ChannelMoments()) for layer in layers)
