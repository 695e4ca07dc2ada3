"""The recover loop of the SRe2L family with WMDD's losses, hooks and all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision import transforms

from ddbench.api.types import DatasetInfo, Tensors


class ClassHook:
    """Gap between a BatchNorm's input and the stored statistics of the classes in the batch."""

    def __init__(self, layer: nn.Module, mean: Tensor, var: Tensor) -> None:
        self.mean, self.var = mean, var
        self.handle = layer.register_forward_hook(self)
        self.gap = mean.new_zeros(())

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps = inputs[0]
        maps = maps.reshape(len(self.mean), -1, *maps.shape[1:])  # k m c h w
        mean = maps.mean((1, 3, 4))
        var = maps.var((1, 3, 4), unbiased=False)
        self.gap = ((mean - self.mean).norm(dim=1) + (var - self.var).norm(dim=1)).mean()


class PlainRecover:
    """Images of whole classes, class after class, equally many of each.

    Args:
        module: Frozen, contiguous.
        moments: Of the real data, `<l>.mean` and `<l>.var`, [k c].
        atoms: One row per image.
        labels: Sorted; every class equally often.
        info: For normalisation and shape.
        strength: λ of the BatchNorm term.
    """

    def __init__(
        self,
        module: nn.Module,
        moments: Tensors,
        atoms: Float[Tensor, "b d"],
        labels: Int[Tensor, " b"],
        info: DatasetInfo,
        strength: float,
    ) -> None:
        self.module, self.atoms, self.info, self.strength = module, atoms, info, strength
        device, present = atoms.device, labels.unique()
        self.hooks = [
            ClassHook(
                layer,
                moments[f"{name}.mean"][present].to(device),
                moments[f"{name}.var"][present].to(device),
            )
            for name, layer in module.named_modules()
            if isinstance(layer, nn.BatchNorm2d)
        ]
        self.features: Tensor | None = None
        module.get_submodule("avgpool").register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self.features = output.flatten(1)

    def objective(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """Computes ‖F − B‖_F + λ Σ_l mean_k (‖μ_kl − μ̂_kl‖ + ‖σ²_kl − σ̂²_kl‖)"""
        self.module(images)
        assert self.features is not None
        distance = torch.norm(self.features - self.atoms)
        return distance + self.strength * torch.stack([hook.gap for hook in self.hooks]).sum()

    def run(self, iterations: int, lr: float, roll: int) -> Float[Tensor, "b c h w"]:
        """Runs Adam with half a cosine, a random view of the whole batch at every step, clipped."""
        shape = (len(self.atoms), *self.info.shape)
        images = torch.randn(shape, device=self.atoms.device, requires_grad=True)
        optimizer = torch.optim.Adam([images], lr=lr, betas=(0.5, 0.9), eps=1e-8)
        view = transforms.Compose(
            [transforms.RandomResizedCrop(shape[-1]), transforms.RandomHorizontalFlip()]
        )
        for step in range(iterations):
            for group in optimizer.param_groups:
                group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / iterations))
            shift = torch.randint(0, roll + 1, (2,)).tolist()
            loss = self.objective(torch.roll(view(images), shift, (2, 3)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images.data = self._clip(images.data)
            loss.item()  # for the log
        return images.detach()

    def run_and_save(
        self, iterations: int, lr: float, roll: int, labels: Int[Tensor, " b"], folder: Path
    ) -> None:
        """Writes the images as JPEG files in class folders."""
        images = self.run(iterations, lr, roll).cpu()
        mean = torch.tensor(self.info.mean).view(-1, 1, 1)
        std = torch.tensor(self.info.std).view(-1, 1, 1)
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            place = folder / self.info.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            picture = transforms.functional.to_pil_image((image * std + mean).clamp(0, 1))
            picture.save(place / f"{row:05d}.jpg")

    def _clip(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        for channel, (mean, std) in enumerate(zip(self.info.mean, self.info.std, strict=True)):
            images[:, channel] = torch.clamp(images[:, channel], -mean / std, (1 - mean) / std)
        return images
