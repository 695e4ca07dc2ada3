"""Draws the views that a run's stored labels belong to again, to hand them on together."""

from __future__ import annotations

from dataclasses import replace

import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews
from ddbench.api.record import Record
from ddbench.api.types import DatasetInfo
from ddbench.pipeline.plan import derive_stream_seed
from ddbench.pipeline.results import DistilledImages, StoredLabels
from ddbench.pipeline.specs import Relabel
from ddbench.registry import Registry
from ddbench.reporting.reproduce.parts import build_part
from ddbench.store.cache import Cache
from ddbench.training.batches import Stream, to_stored_views


def redraw_views(
    record: Record, distilled: DistilledImages, store: Cache, registry: Registry
) -> StoredViews | None:
    """Returns every view that students were shown, with its labels; None where none are stored.

    Only labels are in the cache: the views are a function of the seed.

    Args:
        record: The record of a finished run.
        distilled: Its images, looked up.
        store: The cache that holds its labels.
        registry: The parts that it may name.

    Raises:
        DDBenchError: the labels are no longer in the cache, or belong to views that are more than
            a crop, a flip and a mix.
    """
    keys = record.keys.get("relabel", [])
    if not keys:
        return None
    artifact = store.load("relabel", keys[0])
    if artifact is None:
        raise DDBenchError(
            f"the stored labels of {record.file_name} are no longer in the cache",
            hint="--no-views leaves them out; the record's command makes them again",
        )
    stored = StoredLabels.from_tensors(artifact.tensors())
    if stored.views is None or stored.rows is None:  # answers about plain images
        return None
    spec: Relabel = build_part(artifact.card["spec"], registry)
    assert spec.augmentation is not None
    if spec.augmentation.one_of:
        raise DDBenchError(
            "views under siamese operations cannot be handed on",
            f"FKD's files hold a crop, a flip and a mix, not '{spec.augmentation.one_of}'",
            hint="--no-views leaves their labels out",
        )
    stream = _make_stream(spec, record.seed, distilled)
    epochs = []
    for epoch, answers in enumerate(stored.views):
        views = list(stream.views(epoch))
        rows = torch.cat([shown.rows for shown in views])
        if not torch.equal(rows, stored.rows[epoch]):
            raise DDBenchError(
                f"the stored labels of {record.file_name} belong to other images than are drawn",
                "random numbers of another version of torch, perhaps",
                hint="--no-views leaves them out",
            )
        parts = answers.split([len(shown.rows) for shown in views])
        epochs.append(
            [replace(shown, answers=part) for shown, part in zip(views, parts, strict=True)]
        )
    return to_stored_views(epochs, (spec.data.shape[1], spec.data.shape[2]))


def _make_stream(spec: Relabel, seed: int, distilled: DistilledImages) -> Stream:
    """Makes the stream that the teacher was shown.

    `seed` is the cell's: that of a spec is a float in JSON, which rounds it.
    """
    data, augmentation = spec.data, spec.augmentation
    assert augmentation is not None
    info = DatasetInfo(
        name="",
        classes=data.classes,
        shape=data.shape,
        mean=data.mean,
        std=data.std,
        train_counts=(),
        test_counts=(),
        fingerprint=data.fingerprint,
        mirror=data.mirror,
    )
    return Stream(
        images=distilled.pixels,
        labels=distilled.labels,
        weights=distilled.weights,
        info=info,
        augmentation=augmentation,
        batch_size=spec.batch_size,
        seed=derive_stream_seed(seed),
    )
