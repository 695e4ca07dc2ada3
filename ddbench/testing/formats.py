"""Conformance of formats: a set that is written is recognised and read again bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError
from ddbench.api.labelled_views import StoredViews
from ddbench.testing.fakes import tiny_info
from ddbench.testing.structure import same


def tiny_sets() -> Mapping[str, PortableSet]:
    """Makes small distilled sets of every kind: bytes, floats, learned labels, stored views."""
    info = tiny_info()
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(info.num_classes).repeat_interleave(2)
    count = len(labels)
    plain = PortableSet(
        images=torch.randint(256, (count, *info.shape), generator=rng, dtype=torch.uint8),
        labels=labels,
        weights=torch.rand(count, generator=rng),
        pixels="bytes",
        mean=info.mean,
        std=info.std,
        card={"classes": list(info.classes), "dataset": "tiny", "method": "none"},
    )
    floating = torch.randn(count, *info.shape, generator=rng)
    place = torch.rand(2, count, 2, generator=rng) / 2
    corner = torch.randint(5, (2, 2, 2), generator=rng)
    views = StoredViews(
        logits=torch.randn(2, count, info.num_classes, generator=rng).half(),
        crops=torch.cat([place, 1 - place], 2),
        flips=torch.rand(2, count, generator=rng) > 0.5,
        rows=torch.stack([torch.randperm(count, generator=rng) for _ in range(2)]),
        partners=torch.stack([torch.tensor([1, 0, 3, 2, 1, 0])[:count] for _ in range(2)]),
        shares=torch.rand(2, 2, generator=rng).double(),
        boxes=torch.cat([corner, corner + 4], 2),
        batches=(4, count - 4),
    )
    return {
        "bytes": plain,
        "normalised floats": replace(plain, images=floating, pixels="normalised"),
        "learned labels and step size": replace(
            plain,
            images=floating,
            pixels="normalised",
            rate=0.1,
            soft_labels=torch.randn(count, info.num_classes, generator=rng),
        ),
        "stored views": replace(plain, views=views),
    }


def check_format(part: Any) -> Iterator[str]:
    """Checks that sets which the format does not refuse come back as they were."""
    held = 0
    for name, whole in tiny_sets().items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "set.pt"
            try:
                part.write(whole, path)
            except DDBenchError:  # an answer
                continue
            held += 1
            if not part.detect(path):
                yield f"does not recognise what it wrote: {name}"
            yield from (f"{name}: {problem}" for problem in differences(whole, _read(part, path)))
    if not held:
        yield "refuses every set: bytes, floats, learned labels, stored views"


def _read(part: Any, path: Path) -> PortableSet:
    return check_set(part.read(path), path)


def differences(first: PortableSet, second: PortableSet) -> Iterator[str]:
    """Compares two sets bit for bit, and of their cards the entries that the first one has."""
    for field in fields(PortableSet):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "card":
            lost = [name for name in one if other.get(name) != one[name]]
            if lost:
                yield f"the card comes back without its {', '.join(lost)}"
        elif isinstance(one, StoredViews) and isinstance(other, StoredViews):
            if not same(one.tensors(), other.tensors()) or one.batches != other.batches:
                yield "views come back changed"
        elif isinstance(one, Tensor) and isinstance(other, Tensor):
            if one.dtype != other.dtype or not same(one, other):
                yield f"{field.name} come back changed"
        elif isinstance(one, (Tensor, StoredViews)) or one != other:
            yield f"{field.name} comes back as {other!r:.60}, was {one!r:.60}"
