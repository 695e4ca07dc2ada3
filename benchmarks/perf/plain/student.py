"""A student's epoch with label files: the teacher's answers written batch by batch, read again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as view

from benchmarks.perf.plain.passes import make_transform
from ddbench.api.types import DatasetInfo, Tensors


class PlainStudent:
    """FKD over JPEG files: every epoch is decoded and cropped twice, once to label, once to learn.

    Args:
        teacher: Frozen, contiguous.
        student: Trained in place by AdamW.
        files: One JPEG file an image.
        labels: Folder for the label files.
        info: For resolution and normalisation.
        batch: Images of a batch.
        epochs: Over which the learning rate falls by a cosine; 0 to leave it as it is.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        files: list[Path],
        labels: Path,
        info: DatasetInfo,
        batch: int,
        epochs: int = 0,
    ) -> None:
        self.teacher, self.student, self.files, self.labels = teacher, student, files, labels
        self.info, self.batch, self.epochs = info, batch, epochs
        self.device = next(teacher.parameters()).device
        self.optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.01)

    def epoch(self, index: int) -> None:
        if self.epochs:
            for group in self.optimizer.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * index / self.epochs))
        self.label(index)
        self.learn(index)

    @torch.no_grad()
    def label(self, index: int) -> None:
        """Draws crops, flips and CutMix boxes, asks the teacher, writes a file a batch."""
        order = torch.randperm(len(self.files)).tolist()
        folder = self.labels / f"epoch_{index}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, start in enumerate(range(0, len(order), self.batch)):
            rows = order[start : start + self.batch]
            crops, flips, pictures = [], [], []
            for row in rows:
                picture = self._open(row)
                crops.append(
                    transforms.RandomResizedCrop.get_params(picture, (0.08, 1), (3 / 4, 4 / 3))
                )
                flips.append(bool(torch.rand(()) < 0.5))
                pictures.append(self._view(picture, crops[-1], flips[-1]))
            mix = (torch.randperm(len(rows)), self._draw_box())
            images = self._mix(torch.stack(pictures), mix)
            answers = self.teacher(images.to(self.device)).half().cpu()
            torch.save((rows, crops, flips, mix, answers), folder / f"batch_{number}.tar")

    def learn(self, index: int) -> None:
        """Reads the files back and makes the same views again."""
        self.student.train()
        for path in sorted((self.labels / f"epoch_{index}").iterdir()):
            rows, crops, flips, mix, answers = torch.load(path, weights_only=False)
            views = zip(rows, crops, flips, strict=True)
            pictures = [self._view(self._open(row), crop, flip) for row, crop, flip in views]
            images = self._mix(torch.stack(pictures), mix).to(self.device)
            target = (answers.to(self.device).float() / 20).softmax(1)
            found = (self.student(images) / 20).log_softmax(1)
            loss = F.kl_div(found, target, reduction="batchmean")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()  # for the log

    @torch.no_grad()
    def validate(self, folder: Path) -> Tensors:
        """Returns `logits` and `labels` of the test images, decoded anew."""
        files = ImageFolder(str(folder), make_transform(self.info))
        self.student.eval()
        logits, labels = [], []
        for images, chosen in DataLoader(files, batch_size=self.batch):
            logits.append(self.student(images.to(self.device)).cpu())
            labels.append(chosen)
        return {"logits": torch.cat(logits), "labels": torch.cat(labels)}

    def _open(self, row: int) -> Image.Image:
        with Image.open(self.files[row]) as picture:
            return picture.convert("RGB")

    def _view(self, picture: Image.Image, crop: tuple[int, ...], flip: bool) -> Tensor:
        side = self.info.resolution
        shown = view.resized_crop(picture, *crop, [side, side])
        shown = view.hflip(shown) if flip else shown
        return view.normalize(view.to_tensor(shown), self.info.mean, self.info.std)

    def _draw_box(self) -> tuple[int, int, int, int]:
        side = self.info.resolution
        half = int(side * np.sqrt(1 - np.random.beta(1, 1))) // 2
        y, x = np.random.randint(side), np.random.randint(side)
        top, bottom, left, right = np.clip([y - half, y + half, x - half, x + half], 0, side)
        return int(top), int(bottom), int(left), int(right)

    @staticmethod
    def _mix(images: Tensor, mix: tuple[Tensor, tuple[int, int, int, int]]) -> Tensor:
        partners, (top, bottom, left, right) = mix
        others = images[partners]
        images[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
        return images
