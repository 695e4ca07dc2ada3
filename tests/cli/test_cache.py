"""`ddbench cache`: what is listed, and what no record needs is removed."""

from __future__ import annotations

import os
import time

import pytest

from ddbench.store.cache import Cache
from ddbench.store.records import Records


@pytest.fixture
def filled(ddbench, alone, tmp_path):
    done = ddbench("run", *alone, "-m", "random", "-l", "hard", "--no-reference")
    assert done.code == 0, done.err
    return Cache(tmp_path / "cache")


def test_artifacts_are_listed_with_their_stage_and_key(ddbench, filled):
    done = ddbench("cache", "ls")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["stage", "key", "MiB", "seconds", "made"]
    listed = {(line[0], line[1]) for line in lines[1:-1]}
    assert listed == {(stage, key) for stage, key, _ in filled.entries()}


def test_what_no_record_names_goes_and_what_one_names_stays(ddbench, filled):
    for _, _, folder in filled.entries():
        for path in (*folder.iterdir(), folder):
            os.utime(path, (time.time() - 10**6,) * 2)
    before = [entry[:2] for entry in filled.entries()]
    assert "freed 0.0 MiB: 0 folders" in ddbench("cache", "gc").out
    assert [entry[:2] for entry in filled.entries()] == before
    (path,) = [path for path, _ in Records(filled.root / "records").files()]
    path.unlink()
    assert "would free" in ddbench("cache", "gc", "--dry-run").out
    assert [entry[:2] for entry in filled.entries()] == before
    assert ddbench("cache", "gc").code == 0
    assert {stage for stage, _, _ in filled.entries()} == {"data"}
