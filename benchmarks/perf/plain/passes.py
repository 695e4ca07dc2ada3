"""Two passes over JPEG files, class by class: features first, then moments; each decodes again."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from ddbench.api.types import DatasetInfo, Tensors


class Collector:
    """Sums what a BatchNorm sees of one class: weighted means of batch means and variances."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        self.name = name
        self.handle = layer.register_forward_hook(self)
        self.reset()

    def reset(self) -> None:
        self.mean = torch.zeros(())
        self.var = torch.zeros(())
        self.count = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps = inputs[0]
        channels = maps.permute(1, 0, 2, 3).contiguous().reshape(maps.shape[1], -1)
        self.mean = self.mean + len(maps) * channels.mean(1)
        self.var = self.var + len(maps) * channels.var(1, unbiased=False)
        self.count += len(maps)


def make_transform(info: DatasetInfo) -> transforms.Compose:
    """Makes the view of whole pictures: scaled, cropped at the centre, normalised."""
    return transforms.Compose(
        [
            transforms.Resize(info.resolution),
            transforms.CenterCrop(info.resolution),
            transforms.ToTensor(),
            transforms.Normalize(info.mean, info.std),
        ]
    )


class PlainPasses:
    """A loader for each class, in each of the two passes.

    Args:
        module: Frozen, contiguous.
        folder: Class folders of JPEG files.
        info: For resolution and normalisation.
        batch: Images of a batch.
    """

    def __init__(self, module: nn.Module, folder: Path, info: DatasetInfo, batch: int) -> None:
        self.module, self.batch = module, batch
        self.device = next(module.parameters()).device
        self.files = ImageFolder(str(folder), make_transform(info))

    def _make_loaders(self) -> list[DataLoader]:
        rows: list[list[int]] = [[] for _ in self.files.classes]
        for row, cls in enumerate(self.files.targets):
            rows[cls].append(row)
        return [DataLoader(Subset(self.files, own), batch_size=self.batch) for own in rows]

    @torch.no_grad()
    def features(self) -> list[Float[Tensor, "n d"]]:
        """Returns the features of each class."""
        kept: list[Tensor] = []
        pool = self.module.get_submodule("avgpool")
        handle = pool.register_forward_hook(lambda _, __, output: kept.append(output.flatten(1)))
        found = []
        for loader in self._make_loaders():
            kept.clear()
            for images, _ in loader:
                self.module(images.to(self.device))
            found.append(torch.cat(kept).cpu())
        handle.remove()
        return found

    @torch.no_grad()
    def moments(self) -> Tensors:
        """Returns `<l>.mean` and `<l>.var`, [k c]; the variance is the mean of those of batches."""
        collectors = [
            Collector(name, layer)
            for name, layer in self.module.named_modules()
            if isinstance(layer, nn.BatchNorm2d)
        ]
        found: dict[str, list[Tensor]] = {}
        for loader in self._make_loaders():
            for images, _ in loader:
                self.module(images.to(self.device))
            for one in collectors:
                found.setdefault(f"{one.name}.mean", []).append(one.mean / one.count)
                found.setdefault(f"{one.name}.var", []).append(one.var / one.count)
                one.reset()
        for one in collectors:
            one.handle.remove()
        return {name: torch.stack(rows).cpu() for name, rows in found.items()}
