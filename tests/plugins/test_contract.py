"""The contract of every part that is installed: the suite that plug-in authors run as well."""

from __future__ import annotations

import pytest

from ddbench.registry import KINDS, load
from ddbench.testing import check_part

_REGISTRY = load()
PARTS = [(kind, name) for kind in KINDS for name in _REGISTRY.names(kind)]


@pytest.mark.parametrize(("kind", "name"), PARTS, ids=[f"{kind}-{name}" for kind, name in PARTS])
def test_part_keeps_its_contract(kind, name, monkeypatch):
    monkeypatch.delenv("DDBENCH_DATA", raising=False)  # data sets have tests of their own
    assert check_part(kind, name, _REGISTRY.parts[kind][name]) == []


def test_every_plugin_loads():
    assert [f"{p.name}: {p.error}" for p in _REGISTRY.plugins if p.error] == []


def test_every_kind_has_a_part():
    assert [kind for kind in KINDS if not _REGISTRY.names(kind)] == []
