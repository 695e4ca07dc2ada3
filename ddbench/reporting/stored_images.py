"""The distilled images behind a record, from the cache."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from ddbench.api.record import Record
from ddbench.api.types import Tensors
from ddbench.config.session import open_session
from ddbench.data.description import find_dataset
from ddbench.data.real import open_data
from ddbench.pipeline.recording import check_data
from ddbench.store.cache import Cache


def stored_images(record: Record, store: Cache, data_root: Path | None) -> Tensors | None:
    """Images [n c h w], labels [n] and weights [n] as they were stored; None if no longer there.

    Of a selection the cache holds rows of the training set: its images are read then.

    Raises:
        DDBenchError: a selection, and its data set is not there or has changed since.
    """
    keys = record.keys.get("recover", [])
    artifact = store.load("recover", keys[0]) if keys else None
    if artifact is None:
        return None
    tensors = artifact.tensors()
    if "images" not in tensors:
        tensors["images"] = _selected(record, tensors["indices"], data_root, store)
    return tensors


def _selected(
    record: Record, indices: Int[Tensor, " n"], data_root: Path | None, store: Cache
) -> Tensor:
    session = open_session("cpu", "fp32", data_root, store.root)
    named = find_dataset(record.dataset, session.registry, record.holdout)
    data = open_data(named, session.ctx, store)
    check_data(record, data.info)
    return data.train_images[indices]
