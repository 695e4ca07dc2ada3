"""Draws under a seed of their own, and what they leave behind."""

from __future__ import annotations

import sys

import pytest
import torch

from ddbench import context
from ddbench.context import seeded, seeded_on


@pytest.mark.parametrize("within", [seeded, lambda seed: seeded_on("cpu", seed)])
def test_draws_depend_on_the_seed_alone_and_disturb_nobody(within):
    torch.manual_seed(1)
    torch.rand(3)
    before = torch.get_rng_state()
    with within(5):
        drawn = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(2)
    with within(5):
        assert torch.equal(torch.rand(4), drawn)
    with within(6):
        assert not torch.equal(torch.rand(4), drawn)


@pytest.mark.gpu
def test_a_device_draws_under_the_seed_and_the_others_are_left_alone():
    device = "cuda:0"
    before = torch.cuda.get_rng_state_all()
    with seeded_on(device, 5):
        drawn = torch.rand(4, device=device)
    assert all(map(torch.equal, torch.cuda.get_rng_state_all(), before))
    with seeded_on(device, 5):
        assert torch.equal(torch.rand(4, device=device), drawn)


@pytest.mark.parametrize(("file", "asked"), [("null", 0), ("nvidiactl", 1), ("dxg", 1), ("kfd", 1)])
def test_torch_is_asked_for_a_device_where_there_is_a_sign_of_one(
    file, asked, tmp_path, monkeypatch
):
    (tmp_path / file).touch()
    asks: list[int] = []
    monkeypatch.setattr(context, "_DEVICES", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(asks.append(1)) or True)
    assert context.choose_device("auto") == ("cuda" if asked else "cpu")
    assert context.choose_device("cpu") == "cpu"
    assert len(asks) == asked
