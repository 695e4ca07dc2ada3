"""Many independent pieces of work on the CPU, one core each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from ddbench.api.errors import DDBenchError

Item = TypeVar("Item")
Found = TypeVar("Found")

_WORTH_FORKING = 32
"""Pieces from which on processes pay; threads start at once but wait for each other's Python."""


def run_side_by_side(work: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
    """The results in order, as many pieces at once as torch has threads.

    A piece is too small to be divided. Whoever works alone adds up in one order, so that numbers do
    not depend on how many threads there are, nor on whether threads or processes do the work.

    Args:
        work: Touches no accelerator; its results can be pickled.
        items: What it is called with.

    Raises:
        DDBenchError: `work` did.
    """
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            if threads > 1 and len(items) >= _WORTH_FORKING and _can_fork():
                yield from _by_processes(work, items, threads)
            else:
                yield from _by_threads(work, items, threads)
    finally:
        torch.set_num_threads(threads)


def _can_fork() -> bool:
    """Elsewhere libraries do not survive it; and a daemon may have no children."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def _by_threads(
    work: Callable[[Item], Found], items: Sequence[Item], threads: int
) -> Iterator[Found]:
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _by_processes(
    work: Callable[[Item], Found], items: Sequence[Item], processes: int
) -> Iterator[Found]:
    """By torch's own worker processes: they see what this one has loaded, and end when it does."""
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        _Pieces(work, items),  # type: ignore[arg-type]
        batch_size=None,
        num_workers=min(processes, len(os.sched_getaffinity(0))),
        collate_fn=_unchanged,
        multiprocessing_context="fork",
        generator=torch.Generator(),  # the global one is not touched
    )
    for pickled in loader:
        found = pickle.loads(pickled)
        if isinstance(found, DDBenchError):
            raise found
        yield found


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A data set of results, as bytes: tensors would hold a file descriptor until they are read."""

    work: Callable[[Any], object]
    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> bytes:
        try:
            return pickle.dumps(self.work(self.items[index]))
        except DDBenchError as error:
            return pickle.dumps(error)


def _unchanged(found: Any) -> Any:
    return found
