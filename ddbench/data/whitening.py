"""ZCA whitening of images by the statistics of the training images, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped, UInt8

from ddbench.api.errors import DDBenchError

EPSILON = 0.1
"""Addend of every eigenvalue in the codes that hand on whitened images; no file says it."""
_LARGEST = 3 * 64 * 64
"""Most numbers of an image: the matrix is as wide and as high."""
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Whitening:
    """z = T (x - m), x an image of pixels in [0, 1] as one vector."""

    mean: Float[torch.Tensor, " d"]
    matrix: Float[torch.Tensor, "d d"]
    """T = U (S + ε)^(-1/2) Uᵀ, symmetric; U S Uᵀ is the covariance."""
    inverse: Float[torch.Tensor, "d d"]

    def apply(self, images: Shaped[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """Whitens images of bytes, or of floats with white 1."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        flat = images.flatten(1).float() / scale - self.mean
        whitened = (flat @ self.matrix).view(images.shape)
        return whitened.contiguous(memory_format=torch.channels_last)

    def undo(self, whitened: Float[torch.Tensor, "b c h w"]) -> Float[torch.Tensor, "b c h w"]:
        """Returns floats with white 1: the inverse of `apply`, rounded once."""
        flat = whitened.flatten(1).double() @ self.inverse.double() + self.mean.double()
        return flat.view(whitened.shape).float()

    def on(self, device: str) -> Whitening:
        return replace(
            self,
            mean=self.mean.to(device),
            matrix=self.matrix.to(device),
            inverse=self.inverse.to(device),
        )


def fit(images: UInt8[torch.Tensor, "n c h w"], epsilon: float) -> Whitening:
    """Computes the whitening by mean and covariance (over n - 1) of images.

    It is that of `kornia.enhance.ZCAWhitening(eps=epsilon)`, found in double precision.

    Args:
        images: The training images.
        epsilon: Added to every eigenvalue of the covariance; above 0.

    Raises:
        DDBenchError: the images are so large that the matrix would not fit.

    References:
        Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, appendix A;
        Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022.
    """
    size = images[0].numel()
    if size > _LARGEST:
        raise DDBenchError(
            f"ZCA whitening of images of {size} numbers takes a matrix of {size} x {size}",
            f"at most {_LARGEST}, which are 64 x 64 pixels in colour",
            hint="--set evaluate.zca=0, or a smaller resolution",
        )
    chunks = images.flatten(1).split(_CHUNK)
    mean = sum((chunk.double().sum(0) for chunk in chunks), torch.zeros(size).double())
    mean = mean / (255 * len(images))
    covariance = torch.zeros(size, size, dtype=torch.float64)
    for chunk in chunks:
        centred = chunk.double() / 255 - mean
        covariance.addmm_(centred.T, centred)
    values, vectors = torch.linalg.eigh(covariance / (len(images) - 1))
    spread = (values.clamp(min=0) + epsilon).sqrt()
    return Whitening(
        mean.float(),
        ((vectors / spread) @ vectors.T).float(),
        ((vectors * spread) @ vectors.T).float(),
    )
