"""What a data set reads is what it announces, or one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench.data.description import NamedDataset
from ddbench.data.real import open_data
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache

IMAGES = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4).contiguous()
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


class Six(Dataset):
    """Six images in three classes, or what it is told to read."""

    chunks: ClassVar[Any] = ()

    def info(self, root: Any) -> DatasetInfo:
        return DatasetInfo(
            name="six", classes=("a", "b", "c"), shape=(1, 4, 4), mean=(0.5,), std=(0.5,),
            train_counts=(2, 2, 2), test_counts=(2, 2, 2), fingerprint="six",
        )  # fmt: skip

    def read(self, split: str, root: Any) -> Iterator[Any]:
        yield from self.chunks


def read(cache: Cache, monkeypatch: pytest.MonkeyPatch, *chunks: Any) -> Any:
    monkeypatch.setattr(Six, "chunks", chunks)
    return open_data(NamedDataset(name="six", part=Six()), Context(), cache)


def test_chunks_are_put_together(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(
        cache, monkeypatch, (IMAGES[:1], LABELS[:1]), (IMAGES[1:], LABELS[1:].to(torch.uint8))
    )
    assert torch.equal(data.train_images, IMAGES)
    assert torch.equal(data.test_labels, LABELS)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([(IMAGES / 255, LABELS)], r"train images of float32 \[6, 1, 4, 4\]"),
        ([(IMAGES.long() * 300, LABELS)], r"train images of int64 \[6, 1, 4, 4\]"),
        ([(IMAGES[:, :, :1, :1], LABELS)], r"train images of uint8 \[6, 1, 1, 1\]"),
        ([(IMAGES.numpy(), LABELS)], "train images of uint8 ndarray"),
        ([(IMAGES, LABELS.tolist())], "train labels as a list"),
        ([(IMAGES, LABELS.float())], r"train labels of float32 \[6\]"),
        ([(IMAGES, LABELS[:5])], r"train labels of int64 \[5\] for 6 images"),
        ([(IMAGES, LABELS + 1)], "train label 3"),
        ([(IMAGES, LABELS * 0)], "6 train images of class a, but announced 2"),
        ([(IMAGES, LABELS), (IMAGES, LABELS)], "12 train images, but announced 6"),
        ([(IMAGES[:5], LABELS[:5])], "5 train images, but announced 6"),
    ],
)
def test_what_contradicts_the_announcement_is_told_with_the_name(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, chunks: Any, said: str
) -> None:
    with pytest.raises(DDBenchError, match=f"data set 'six' gave {said}"):
        read(cache, monkeypatch, *chunks)
    assert not list(cache.entries())
