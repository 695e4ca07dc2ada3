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
Result = TypeVar("Result")

_WORTH_FORKING = 32
"""Pieces from which on processes pay; threads start at once but wait for each other's Python."""


def run_side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields results in order, with as many pieces of work at once as torch has threads.

    Each piece has one thread, which adds up in one order, so that numbers do not depend on how many
    threads there are, nor on whether threads or processes do the work.

    Args:
        work: A function that touches no accelerator and whose results can be pickled.
        items: Its arguments, one a piece.

    Raises:
        DDBenchError: `work` did.
    """
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            if threads > 1 and len(items) >= _WORTH_FORKING and _can_fork():
                yield from _use_processes(work, items, threads)
            else:
                yield from _use_threads(work, items, threads)
    finally:
        torch.set_num_threads(threads)


def _can_fork() -> bool:
    """Tells whether libraries survive a fork (on Linux) and this process may have children."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def _use_threads(
    work: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[Result]:
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _use_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[Result]:
    """Works by torch's worker processes: they see what is loaded here, and end with this one."""
    from torch.utils.data import DataLoader

    pieces: Any = _Pieces(work, items)
    loader: DataLoader[Any] = DataLoader(
        pieces,
        batch_size=None,
        num_workers=min(processes, len(os.sched_getaffinity(0))),
        collate_fn=lambda pickled: pickled,
        multiprocessing_context="fork",
        generator=torch.Generator(),  # the global one is not touched
    )
    for pickled in loader:
        result = pickle.loads(pickled)
        if isinstance(result, DDBenchError):
            raise result
        yield result


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A data set of pickled results: tensors would hold a file descriptor until they are read."""

    work: Callable[[Any], object]
    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> bytes:
        try:
            return pickle.dumps(self.work(self.items[index]))
        except DDBenchError as error:
            return pickle.dumps(error)
