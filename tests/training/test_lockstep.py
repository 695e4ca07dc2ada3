"""Lanes: everyone takes everything in order, at once with others, and errors end it."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbench.training.lockstep import hand_out


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@given(st.integers(0, 20), st.lists(st.integers(1, 25), max_size=6), st.integers(1, 4))
@settings(deadline=None)
def test_everyone_takes_the_pieces_in_order_until_enough(count, wanted, lanes):
    taken = [[] for _ in wanted]

    def taker(own, enough):
        def take(piece):
            own.append(piece)
            return len(own) < enough

        return take

    hand_out(
        iter(range(count)), [taker(*each) for each in zip(taken, wanted, strict=True)], lanes, 1
    )
    assert taken == [list(range(min(count, enough))) for enough in wanted]


def test_nothing_is_made_that_nobody_wants():
    made = itertools.count()
    hand_out(made, [lambda piece: piece < 5, lambda piece: piece < 2], 2, 1)
    assert next(made) <= 5 + 3


def test_several_are_at_work_at_once_with_their_part_of_the_threads(four_threads):
    met, seen = threading.Barrier(2, timeout=20), []

    def take(piece):
        met.wait()  # breaks unless the other one is here as well
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return True

    hand_out(iter(range(3)), [take, take], 2, 2)
    assert len({thread for thread, _ in seen}) == 2
    assert [count for _, count in seen] == [2] * 6
    assert torch.get_num_threads() == 4


def test_one_lane_has_its_threads_too(four_threads):
    seen = []
    hand_out(iter("a"), [lambda piece: bool(seen.append(torch.get_num_threads()))], 1, 3)
    assert seen == [3]
    assert torch.get_num_threads() == 4


def test_few_pieces_are_held_for_those_behind():
    made, slow_has, most = [0], [0], [0]

    def pieces():
        for piece in range(30):
            made[0] += 1
            yield piece

    def slow(piece):
        threading.Event().wait(0.002)
        slow_has[0] += 1
        return True

    def fast(piece):
        most[0] = max(most[0], made[0] - slow_has[0])
        return True

    hand_out(pieces(), [slow, fast], 2, 1)
    assert most[0] <= 4  # two that wait, one in hand, one that is just being made


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("where", ["taker", "maker"])
def test_an_error_ends_it_and_is_told(four_threads, lanes, where):
    def pieces():
        yield from range(3)
        if where == "maker":
            raise KeyError(where)
        yield from range(3, 1000)

    taken = []

    def take(piece):
        if where == "taker" and piece == 3:
            raise KeyError(where)
        return True

    with pytest.raises(KeyError, match=where):
        hand_out(pieces(), [take, lambda piece: taken.append(piece) or True], lanes, 1)
    assert len(taken) < 10
    assert torch.get_num_threads() == 4
