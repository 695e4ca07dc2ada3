"""Which record a name means, and which folders records are read from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.cli.records import find_folders, find_record
from ddbench.store.records import read_record

DIGITS = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"
ONE = sorted(DIGITS.glob("wmdd-*.json"))[0]


@pytest.fixture
def cache(tmp_path):
    shutil.copytree(DIGITS, tmp_path / "records")
    return tmp_path


def test_a_record_is_found_by_its_file_its_key_or_the_start_of_either(cache):
    record = read_record(ONE)
    for name in (str(ONE), record.key, record.key[:12], ONE.stem[:-4]):
        assert find_record(name, cache) == record


def test_a_start_of_several_records_is_refused_with_their_names(cache):
    with pytest.raises(DDBenchError, match="'wmdd' is the start of") as caught:
        find_record("wmdd", cache)
    assert all(fact.startswith("wmdd-") for fact in caught.value.facts)


def test_an_unknown_name_is_told_with_the_nearest(cache):
    with pytest.raises(DDBenchError, match="unknown record 'wmdd-digts'") as caught:
        find_record("wmdd-digts", cache)
    assert "did you mean 'wmdd-digits" in caught.value.hint
    with pytest.raises(DDBenchError, match="unknown record 'zzz'") as caught:
        find_record("zzz", cache)
    assert "--cache DIR" in caught.value.hint


def test_folders_that_are_given_stand_in_for_the_caches(tmp_path):
    assert find_folders([], tmp_path) == [tmp_path / "records"]
    assert find_folders([DIGITS], tmp_path) == [DIGITS]
    with pytest.raises(DDBenchError, match="no folder"):
        find_folders([DIGITS, tmp_path / "none"], tmp_path)
