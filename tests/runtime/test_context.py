"""Draws under a seed of their own, and what they leave behind."""

from __future__ import annotations

import sys

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.runtime import context
from ddbench.runtime.context import use_seed, use_seed_on


@pytest.mark.parametrize("within", [use_seed, lambda seed: use_seed_on("cpu", seed)])
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
    with use_seed_on(device, 5):
        drawn = torch.rand(4, device=device)
    assert all(map(torch.equal, torch.cuda.get_rng_state_all(), before))
    with use_seed_on(device, 5):
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
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert context.choose_device("auto") == ("cuda" if asked else "cpu")
    assert context.choose_device("cpu") == "cpu"
    assert len(asks) == asked


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:"])
def test_a_gpu_that_is_not_there_is_told_at_once(name, two_gpus):
    with pytest.raises(DDBenchError, match="not available") as fault:
        context.choose_device(name)
    assert "cuda:0, cuda:1" in str(fault.value)


def test_a_gpu_is_chosen_by_its_number_and_becomes_the_current_one(two_gpus, monkeypatch):
    current: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    for name in ("cuda", "cuda:1", "cpu"):
        assert context.choose_device(name) == name
        context.make_current(name)
    assert current == ["cuda:1"]
    assert context.choose_device("cpu:0") == "cpu"
