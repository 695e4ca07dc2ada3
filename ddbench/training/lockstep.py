"""Pieces handed to several takers, each of which takes all of them in order, some at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

import torch

Piece = TypeVar("Piece")
Taker = Callable[[Piece], bool]
"""Takes the next piece, and says whether it wants another."""

_AHEAD = 2
"""Pieces that wait for a taker at most: with one at hand, no lane waits for the next to be made."""


def hand_out(
    pieces: Iterator[Piece], takers: Sequence[Taker[Piece]], lanes: int, threads: int
) -> None:
    """Hands every piece to every taker, until there are no more or nobody wants another.

    Cores that share one network's update wait for each other: two networks that have a core each
    are faster than one after the other on both. What a taker takes, in which order and by how many
    threads, does not depend on when the others are done, so that results are repeatable.

    Args:
        pieces: Made one at a time, in any lane.
        takers: Called for one piece at a time each, in any lane. What they raise ends all.
        lanes: How many work at once; 1 is one after another.
        threads: Of torch, for each lane.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if lanes > 1:
            _Lanes(pieces, takers).work(lanes, threads)
        else:
            _one_after_another(pieces, takers)
    finally:
        torch.set_num_threads(before)


def _one_after_another(pieces: Iterator[Piece], takers: Sequence[Taker[Piece]]) -> None:
    for piece in pieces:
        takers = [taker for taker in takers if taker(piece)]
        if not takers:
            return


class _Queue(Generic[Piece]):
    """A taker and what it has not yet taken."""

    def __init__(self, taker: Taker[Piece]) -> None:
        self.taker = taker
        self.waiting: deque[Piece] = deque()
        self.busy = False


class _Lanes(Generic[Piece]):
    """Hands out work to whichever thread is free."""

    def __init__(self, pieces: Iterator[Piece], takers: Sequence[Taker[Piece]]) -> None:
        self._pieces = pieces
        self._queues = [_Queue(taker) for taker in takers]
        self._changed = threading.Condition()
        self._more, self._making = True, False
        self._fault: BaseException | None = None

    def work(self, lanes: int, threads: int) -> None:
        pool = ThreadPoolExecutor(lanes - 1, initializer=torch.set_num_threads, initargs=(threads,))
        try:
            for _ in range(lanes - 1):
                pool.submit(self._lane)
            self._lane()
        finally:
            pool.shutdown()
        if self._fault is not None:
            raise self._fault

    def _lane(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
        except BaseException as fault:  # Ctrl-C is the first thread's alone, and ends them all
            with self._changed:
                self._fault = self._fault or fault
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """Waits for work and returns it; None at the end."""
        with self._changed:
            while self._queues and self._fault is None:
                waiting = [queue for queue in self._queues if queue.waiting]
                if not (waiting or self._more or self._making or self._busy()):
                    break
                if self._may_make():
                    self._making = True
                    return self._make
                if idle := [queue for queue in waiting if not queue.busy]:
                    behind = max(idle, key=lambda queue: len(queue.waiting))
                    behind.busy = True
                    return partial(self._take, behind, behind.waiting.popleft())
                self._changed.wait()
            return None

    def _busy(self) -> bool:
        return any(queue.busy for queue in self._queues)

    def _may_make(self) -> bool:
        longest = max(len(queue.waiting) for queue in self._queues)
        return self._more and not self._making and longest < _AHEAD

    def _make(self) -> None:
        try:
            made = [next(self._pieces)]
        except StopIteration:
            made = []
        with self._changed:
            self._making, self._more = False, bool(made)
            for queue in self._queues:
                queue.waiting.extend(made)
            self._changed.notify_all()

    def _take(self, queue: _Queue[Piece], piece: Piece) -> None:
        wants_more = queue.taker(piece)
        with self._changed:
            queue.busy = False
            if not wants_more:
                self._queues.remove(queue)
            self._changed.notify_all()
