"""Real data: decoded once into uint8, kept in the cache, mapped rather than read again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Int, UInt8

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo
from ddbench.data.description import NamedDataset, count_held_out, describe
from ddbench.data.whitening import Whitening, fit
from ddbench.runtime.context import Context
from ddbench.runtime.cost import measure
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Artifact, Cache
from ddbench.store.files import explain_faults
from ddbench.store.keys import key_of, spell

Split: TypeAlias = Literal["train", "test"]
STAGE, WHITENING = "data", "whitening"
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class RealData:
    """A data set's images, mapped from disk."""

    info: DatasetInfo
    train_images: UInt8[torch.Tensor, "n c h w"]
    train_labels: Int[torch.Tensor, " n"]
    test_images: UInt8[torch.Tensor, "t c h w"]
    test_labels: Int[torch.Tensor, " t"]

    def of_class(self, cls: int) -> Int[torch.Tensor, " m"]:
        """Returns the indices of the training images of one class."""
        return (self.train_labels == cls).nonzero().flatten()


def open_data(named: NamedDataset, ctx: Context, cache: Cache) -> RealData:
    """Opens a data set, which is decoded into the cache first if it is not there yet."""
    whole = replace(named, holdout=0.0)
    info = describe(whole, ctx.data_root)
    key = key_of("data", named.part, info.fingerprint, info.shape)
    artifact = cache.load(STAGE, key)
    if artifact is None:
        with cache.lock(key):
            artifact = cache.load(STAGE, key) or _decode(whole, info, key, ctx, cache)
    data = _map_images(artifact, info)
    return _hold_out(data, describe(named, ctx.data_root), named.holdout) if named.holdout else data


def load_whitening(data: RealData, epsilon: float, cache: Cache, ctx: Context) -> Whitening:
    """Returns the ZCA whitening by the training images, on the device; computed once, then kept."""
    key = key_of("whitening", data.info.fingerprint, data.info.shape, epsilon)
    artifact = cache.load(WHITENING, key)
    if artifact is None:
        with cache.lock(key):
            artifact = cache.load(WHITENING, key) or _store_whitening(data, epsilon, key, cache)
    return Whitening(**artifact.tensors()).on(ctx.device)


def _store_whitening(data: RealData, epsilon: float, key: str, cache: Cache) -> Artifact:
    with measure("cpu") as meter:
        whitening = fit(data.train_images, epsilon)
    assert meter.cost is not None
    tensors = {name: getattr(whitening, name) for name in ("mean", "matrix", "inverse")}
    card = {"spec": spell(data.info), "inputs": {}, "cost": meter.cost.to_json()}
    return cache.store(WHITENING, key, tensors, card)


def _decode(
    named: NamedDataset, info: DatasetInfo, key: str, ctx: Context, cache: Cache
) -> Artifact:
    tensors: dict[str, torch.Tensor] = {}
    files: dict[str, Path] = {}
    drafts = cache.root / "partial"
    with (
        explain_faults(cache.root),
        tempfile.TemporaryDirectory(dir=drafts, prefix="decode-") as folder,
    ):
        with measure("cpu") as meter:
            for split in SPLITS:
                path = Path(folder) / f"{split}.npy"
                tensors[f"{split}_labels"] = _write_split(named, info, split, path, ctx)
                files[path.name] = path
        assert meter.cost is not None
        card = {"spec": spell(info), "inputs": {}, "cost": meter.cost.to_json()}
        return cache.store(STAGE, key, tensors, card, files)


def _write_split(
    named: NamedDataset,
    info: DatasetInfo,
    split: Split,
    path: Path,
    ctx: Context,
) -> Int[torch.Tensor, " n"]:
    """Decodes a split into a memory-mapped file; no more than a chunk is ever in memory.

    Raises:
        DDBenchError: what the data set reads is not what it announces.
    """
    counts = info.train_counts if split == "train" else info.test_counts
    count, said = sum(counts), f"data set '{named.name}' gave"
    store = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *info.shape))
    labels, done = [], 0
    with ctx.progress.stage(f"decode {info.name} {split}", count) as advance:
        for images, classes in named.part.read(split, ctx.data_root):
            fault, wanted = _find_fault(images, classes, info)
            if fault:
                raise DDBenchError(f"{said} {split} {fault}", f"expected: {wanted}")
            if done + len(images) <= count:
                store[done : done + len(images)] = images.numpy()
            labels.append(classes.long())
            done += len(images)
            advance(len(images))
    store.flush()
    if done != count:
        raise DDBenchError(
            f"{said} {done} {split} images, but announced {count}",
            hint="did its files change just now? run again",
        )
    whole = torch.cat(labels)
    wrong = torch.bincount(whole, minlength=info.num_classes) != torch.tensor(counts)
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise DDBenchError(
            f"{said} {int((whole == first).sum())} {split} images of class {info.classes[first]}, "
            f"but announced {counts[first]}",
            hint="labels are places in `classes`, and counts are in the same order",
        )
    return whole


def _find_fault(images: Any, labels: Any, info: DatasetInfo) -> tuple[str, str]:
    """Returns what is wrong with a chunk and what was expected; "" if nothing is."""
    shape = list(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
    kind = str(getattr(images, "dtype", "")).removeprefix("torch.")
    if kind != "uint8" or not isinstance(shape, list) or shape[1:] != list(info.shape):
        return f"images of {kind} {shape}", f"uint8 [n, {', '.join(map(str, info.shape))}]"
    wanted = f"a class from 0 to {info.num_classes - 1} for each image, as int64 [{len(images)}]"
    if not isinstance(labels, torch.Tensor):
        return f"labels as a {type(labels).__name__}", wanted
    if labels.is_floating_point() or list(labels.shape) != [len(images)]:
        kind = str(labels.dtype).removeprefix("torch.")
        return f"labels of {kind} {list(labels.shape)} for {len(images)} images", wanted
    outside = labels[(labels < 0) | (labels >= info.num_classes)]
    return (f"label {int(outside[0])}", wanted) if len(outside) else ("", "")


def _map_images(artifact: Artifact, info: DatasetInfo) -> RealData:
    labels = artifact.tensors()
    # Mode "c": pages are shared and read on demand; torch wants an array that it may write to.
    images = {s: torch.from_numpy(np.load(artifact.path / f"{s}.npy", "c")) for s in SPLITS}
    return RealData(
        info, images["train"], labels["train_labels"], images["test"], labels["test_labels"]
    )


def _hold_out(data: RealData, info: DatasetInfo, part: float) -> RealData:
    """Makes a part of each class's training images the test data; the real ones are dropped."""
    rng = make_generator(0, "holdout", part)
    held = torch.zeros(len(data.train_labels), dtype=torch.bool)
    for cls in range(info.num_classes):
        rows = data.of_class(cls)
        chosen = torch.randperm(len(rows), generator=rng)[: count_held_out(len(rows), part)]
        held[rows[chosen]] = True
    images, labels = data.train_images, data.train_labels
    return RealData(info, images[~held], labels[~held], images[held], labels[held])
