"""What normalisation statistics keep of an activation: its moments per image and channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from ddbench.api.errors import IncompatibleError
from ddbench.api.types import Network, Tap, Tensors

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ChannelMoments:
    """Per image and channel: mean and mean square over positions, `mean` and `square`, [b c].

    Every class-wise, weighted, global or averaged statistic of a layer is a linear or quadratic
    function of these two. Half precision is widened to float32.
    """

    def reduce(self, activation: Float[Tensor, "b c ..."]) -> Tensors:
        if torch.compiler.is_compiling():  # which joins these with what is around them
            wide = activation.float().flatten(2)
            return {"mean": wide.mean(2), "square": wide.square().mean(2)}
        from ddbench.api.moment_kernels import SpatialMoments

        mean, square = SpatialMoments.apply(activation)
        return {"mean": mean, "square": square}

    def through(
        self, module: nn.Module, activation: Float[Tensor, "b c ..."]
    ) -> tuple[Tensor, Tensors] | None:
        """What a frozen BatchNorm in eval mode gives, and the moments of its input, in one pass.

        None for any other module, and in half precision on an accelerator, where the product of two
        roundings would show in the gradient.
        """
        half = activation.dtype.itemsize < 4 and activation.device.type != "cpu"
        if half or not _is_fixed_affine(module):
            return None
        from ddbench.api.moment_kernels import NormWithMoments

        output, mean, square = NormWithMoments.apply(activation, *_affine(module))
        return output, {"mean": mean, "square": square}


@dataclass(slots=True)
class _Affine:
    """What a frozen BatchNorm does, and what that was made of."""

    made_of: tuple[tuple[Tensor, int], ...]
    """Tensors and their versions."""
    eps: float
    scale: Float[Tensor, "1 c 1 1"]
    shift: Float[Tensor, "1 c 1 1"]

    def holds(self, tensors: list[Tensor], eps: float) -> bool:
        same = eps == self.eps and len(tensors) == len(self.made_of)
        return same and all(
            tensor is known and tensor._version == version
            for tensor, (known, version) in zip(tensors, self.made_of, strict=True)
        )


def _affine(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    """Scale and shift; kept with the layer until one of its tensors is changed."""
    mean, var, weight, bias = norm.running_mean, norm.running_var, norm.weight, norm.bias
    assert mean is not None
    assert var is not None
    tensors = [each for each in (mean, var, weight, bias) if each is not None]
    passing = torch.is_inference_mode_enabled() or any(each.is_inference() for each in tensors)
    kept = None if passing else norm.__dict__.get("_affine")
    if kept is not None and kept.holds(tensors, norm.eps):
        return kept.scale, kept.shift
    scale = torch.rsqrt(var + norm.eps)
    if weight is not None:
        scale = weight * scale
    shift = -mean * scale
    if bias is not None:
        shift = bias + shift
    scale, shift = (each.detach().view(1, -1, 1, 1) for each in (scale, shift))
    if not passing:
        versions = tuple((each, each._version) for each in tensors)
        norm.__dict__["_affine"] = _Affine(versions, norm.eps, scale, shift)
    return scale, shift


def _is_fixed_affine(module: nn.Module) -> bool:
    """Exactly torch's own BatchNorm2d (subclasses may do more), with nothing left to learn."""
    return (
        type(module) is torch.nn.BatchNorm2d
        and not module.training
        and module.running_mean is not None
        and not any(parameter.requires_grad for parameter in module.parameters())
    )


def moment_taps(network: Network, what: str) -> tuple[Tap, ...]:
    """Taps on the input of every BatchNorm2d of a network.

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
