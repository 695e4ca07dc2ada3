"""Pieces of work on several cores: in order, with the same numbers, mistakes told."""

from __future__ import annotations

import multiprocessing
import os
import sys

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.types import Atoms
from ddbench.runtime.parallel import run_side_by_side

MANY = range(40)


@pytest.fixture(params=["threads", "processes"])
def items(request, monkeypatch):
    if request.param == "processes" and sys.platform != "linux":
        pytest.skip("processes are forked on Linux only")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield MANY if request.param == "processes" else MANY[:20]
    torch.set_num_threads(before)


def piece(item: int) -> tuple[int, int, Atoms]:
    values = torch.arange(50_000, dtype=torch.float32).sin() * item
    return (
        item,
        torch.get_num_threads(),
        Atoms(values.sum().view(1, 1), values[:1], {"item": float(item)}),
    )


def test_results_come_in_order_and_equal_those_of_one_core(items):
    random = torch.get_rng_state()
    found = list(run_side_by_side(piece, items))
    assert [item for item, *_ in found] == list(items)
    assert {threads for _, threads, _ in found} == {1}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for item, _, atoms in found:
        alone = piece(item)[2]
        assert torch.equal(atoms.points, alone.points)
        assert atoms.report == alone.report
    assert torch.equal(torch.get_rng_state(), random)


def test_many_pieces_are_done_by_other_processes_and_few_by_this_one(items):
    workers = set(run_side_by_side(lambda _: os.getpid(), items))
    if items is MANY:
        assert len(workers) == min(2, len(os.sched_getaffinity(0)))
        assert os.getpid() not in workers
    else:
        assert workers == {os.getpid()}


def test_a_mistake_is_told_as_it_is(items):
    def refuse(item: int) -> int:
        if item == 7:
            raise DDBenchError("the seventh is odd", "as they are", hint="leave it out")
        return item

    with pytest.raises(DDBenchError, match="the seventh is odd") as caught:
        list(run_side_by_side(refuse, items))
    assert caught.value.hint == "leave it out"
    assert torch.get_num_threads() == 2


def test_any_other_fault_names_itself(items):
    with pytest.raises(ZeroDivisionError):
        list(run_side_by_side(lambda item: 1 / (item - 3), items))


def test_whoever_stops_early_leaves_no_worker(items):
    before = set(multiprocessing.active_children())
    pieces = run_side_by_side(piece, items)
    next(pieces)
    pieces.close()
    assert torch.get_num_threads() == 2
    assert set(multiprocessing.active_children()) <= before
