"""DDBENCH_PLAIN=1 turns every kernel of ddbench off, and the numbers stay what they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddbench.api.moment_kernels import NormWithMoments, SpatialMoments
from ddbench.api.moments import ChannelMoments, moment_taps
from ddbench.api.plain import SWITCH, use_plain_operations
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo, Network
from ddbench.nn.build import build_network
from ddbench.nn.probe import Probe, freeze_network
from ddbench.runtime.context import Context
from ddbench.runtime.environment import describe_environment
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.distances import transport

OWN = {"LeanConv2d", "SmallMapConv2d", "LeanReLU", "LeanMaxPool2d", "InstanceNorm"}


@pytest.fixture(params=["", "1"], ids=["own kernels", "plain"])
def plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv(SWITCH, request.param)
    return bool(request.param)


@pytest.mark.parametrize(("value", "off"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_kernels_are_off_where_the_switch_says_so(
    value: str | None, off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    if value is not None:
        monkeypatch.setenv(SWITCH, value)
    assert use_plain_operations() is off


def test_networks_have_own_layers_unless_it_is_plain(plain: bool, info: DatasetInfo) -> None:
    info = replace(info, shape=(3, 64, 64))  # a ResNet begins with a max pooling
    found: set[str] = set()
    parts: list[Architecture] = [ResNet(18), ConvNetD(3, 8), ConvNetD(3, 8, norm="batch")]
    for part in parts:
        module = build_network(part, info, 0, Context())
        network = freeze_network(Network(module, part.classifier(module)), Context())
        found |= {type(layer).__name__ for layer in network.module.modules()} & OWN
    assert found == (set() if plain else OWN)


def test_moments_are_taken_by_torch_if_it_is_plain(
    plain: bool, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes through a kernel, and values and gradients are the same but for rounding."""
    asked: list[str] = []
    for kernel in (SpatialMoments, NormWithMoments):
        usual = kernel.apply
        monkeypatch.setattr(
            kernel, "apply", lambda *x, of=usual, name=kernel.__name__: asked.append(name) or of(*x)
        )
    torch.manual_seed(0)
    module = build_network(part := ConvNetD(2, 8, norm="batch"), info, 0, Context())
    network = freeze_network(Network(module, part.classifier(module)), Context())
    taps = moment_taps(network, "test")
    images = torch.randn(4, *info.shape, requires_grad=True)
    with Probe(network, taps, Context()) as probe:
        acts = probe(images)
    ChannelMoments().reduce(images)
    assert set(asked) == (set() if plain else {"SpatialMoments", "NormWithMoments"})
    assert acts.taps.keys() == set(taps)


def test_transport_is_solved_whole_if_it_is_plain(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    cost = np.square(rng.normal(size=(4, 1, 3)) - rng.normal(size=(1, 900, 3))).sum(2)
    weights, usual = np.full(4, 1 / 4), transport.solve_transport
    exact = usual(weights, np.full(900, 1 / 900), cost)
    whole: list[int] = []
    monkeypatch.setattr(
        transport, "solve_transport", lambda *of: whole.append(len(of[1])) or usual(*of)
    )
    found = transport.solve_transport_from_guess(weights, cost, exact.potential)
    assert whole == ([900] if plain else [])
    assert found.value == pytest.approx(exact.value, rel=1e-12)


def test_the_environment_says_that_it_is_plain_and_else_nothing(plain: bool) -> None:
    assert describe_environment.__wrapped__().get("plain") == (True if plain else None)


@pytest.fixture
def _environment() -> Iterator[None]:
    """The environment is described anew, for it is when a process asks first."""
    describe_environment.cache_clear()
    yield
    describe_environment.cache_clear()


@pytest.mark.usefixtures("_environment")
def test_a_method_computes_the_same_both_ways(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WMDD on digits through one teacher, from keys to accuracy, but for rounding."""
    words = ["run", "--method", "wmdd", "--no-reference", "--ipc", 2, *tiny]
    words[words.index("--arch") + 1] = "convnet3"  # students with instance norms
    words += ["--set", "recover.iterations=1"]
    monkeypatch.delenv(SWITCH, raising=False)
    own, other = Cache(tmp_path / "own"), Cache(tmp_path / "other")
    assert ddbench(*words, "--cache", own.root).code == 0
    for stage in ("data", "squeeze"):
        shutil.copytree(own.root / "artifacts" / stage, other.root / "artifacts" / stage)
    monkeypatch.setenv(SWITCH, "1")
    describe_environment.cache_clear()
    assert ddbench(*words, "--cache", other.root).code == 0
    (one,), (two,) = (Records(cache.root / "records").all() for cache in (own, other))
    assert "plain" not in one.environment
    assert two.environment["plain"] is True
    assert (one.key, one.keys) == (two.key, two.keys)
    loss = one.reports["recover.final_loss"]  # of the first iteration
    assert two.reports["recover.final_loss"] == pytest.approx(loss, rel=1e-5)
    for stage in ("statistics", "targets"):
        for key in one.keys[stage]:
            first, second = (cache.load(stage, key).tensors() for cache in (own, other))
            torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    assert two.metrics[0]["top1"] == pytest.approx(one.metrics[0]["top1"], abs=3)
