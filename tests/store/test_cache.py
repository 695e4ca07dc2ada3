"""The cache: whole or absent, checksummed, set aside when damaged."""

from __future__ import annotations

import os
import warnings

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.store.cache import Cache

CARD = {"cost": {"seconds": 1.0}, "lineage": {}, "report": {}}
KEY = "0123456789abcdef0123"


def _store(cache, key=KEY, value=1.0):
    return cache.store("recover", key, {"x": torch.full((3,), value)}, CARD)


def test_what_is_stored_is_loaded(cache):
    _store(cache)
    found = cache.load("recover", KEY)
    assert torch.equal(found.tensors()["x"], torch.ones(3))
    assert found.cost == {"seconds": 1.0}
    assert cache.load("recover", "f" * 20) is None


def test_the_first_of_two_equal_artifacts_stays(cache):
    before = _store(cache).path.stat().st_ino
    _store(cache)
    assert (cache.path("recover", KEY)).stat().st_ino == before


@pytest.mark.parametrize("name", ["tensors.safetensors", "card.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_damage_is_seen_set_aside_and_remade(cache, name, how):
    path = _store(cache).path / name
    if how == "flip":
        data = bytearray(path.read_bytes())
        data[-2] ^= 0xFF
        path.write_bytes(bytes(data))
    elif how == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    assert [fault[:2] for fault in cache.verify()] == [("recover", KEY)]
    with pytest.warns(UserWarning, match="damaged artifact recover"):
        assert cache.load("recover", KEY) is None
    assert len(list((cache.root / "damaged").iterdir())) == 1
    _store(cache, value=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(cache.load("recover", KEY).tensors()["x"], torch.full((3,), 2.0))


def test_a_failure_while_writing_leaves_nothing(cache, monkeypatch):
    monkeypatch.setattr(
        "ddbench.store.cache.write_whole", lambda *a: (_ for _ in ()).throw(KeyError())
    )
    with pytest.raises(KeyError):
        _store(cache)
    assert not cache.has("recover", KEY)
    assert list(cache.entries()) == []


def test_a_full_disk_is_one_sentence(cache, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ddbench.store.cache.sync", full)
    with pytest.raises(DDBenchError, match="disk of the cache is full") as caught:
        _store(cache)
    assert "ddbench cache gc" in caught.value.hint
    assert not cache.has("recover", KEY)


def test_a_cache_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DDBenchError, match="the cache is not a folder"):
        Cache(tmp_path / "file")


@pytest.mark.parametrize("name", ["tensors.safetensors", "card.json"])
def test_damage_that_is_met_while_storing_is_set_aside(cache, name):
    """What nobody loaded before: the fresh artifact counts, not what lay there."""
    (_store(cache).path / name).unlink()
    with pytest.warns(UserWarning, match="damaged artifact recover"):
        _store(cache, value=2.0)
    assert torch.equal(cache.load("recover", KEY).tensors()["x"], torch.full((3,), 2.0))
    assert len(list((cache.root / "damaged").iterdir())) == 1
    assert [path.name for path in cache.path("recover", KEY).parent.iterdir()] == [KEY]


def test_who_comes_second_is_given_what_the_first_stored(cache):
    _store(cache)
    second = cache.store("recover", KEY, {"x": torch.ones(3)}, {**CARD, "cost": {"seconds": 9.0}})
    assert second.cost == {"seconds": 1.0}


def test_collect_keeps_what_is_named_and_drops_the_rest(cache):
    _store(cache)
    _store(cache, "f" * 20)
    (cache.root / "artifacts" / "recover" / "x.1.tmp").mkdir()
    assert cache.collect({KEY}, dry=True, age=0.0)[0] == 2
    assert cache.has("recover", "f" * 20)
    cache.collect({KEY}, age=0.0)
    assert [key for _, key, _ in cache.entries()] == [KEY]


def test_collect_leaves_what_a_running_process_is_at(cache):
    """Records name artifacts when a cell ends: until then only age and locks tell."""
    _store(cache)
    cache.partial("recover", "e" * 20).put(0, {"group": torch.ones(1)})
    (cache.root / "artifacts" / "recover" / "x.1.tmp").mkdir()
    (cache.root / "damaged" / "recover-x-1").mkdir(parents=True)
    assert cache.collect(set(), dry=True)[0] == 1  # all but the damaged one are of today
    with cache.lock("e" * 20):
        assert cache.collect(set(), age=0.0)[0] == 3
    assert cache.partial("recover", "e" * 20).get(0) is not None
    assert cache.collect(set(), age=0.0)[0] == 1
    assert not list((cache.root / "partial").iterdir())


def test_partial_groups_survive_and_a_broken_one_counts_as_missing(cache):
    partial = cache.partial("recover", KEY)
    partial.put(0, {"group": torch.arange(3)})
    partial.put(1, {"group": torch.arange(4)})
    partial.put(3, {"group": torch.arange(3), "rate": torch.tensor(0.5)})
    again = cache.partial("recover", KEY)
    assert torch.equal(again.get(0)["group"], torch.arange(3))
    assert again.get(3, ("group", "rate"))["rate"] == 0.5
    (again.folder / "000001.safetensors").write_bytes(b"cut")
    assert again.get(1) is None
    assert again.get(2) is None
    assert again.get(3) is None  # of a distiller that learned something else
    again.clear()
    assert again.get(0) is None
