"""Files are whole or not there, and faults of a disk are one sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.store import files
from ddbench.store.files import explain_faults, write_whole


class SafetensorError(Exception):
    """As safetensors' own, which is known by its name."""


def test_a_new_text_replaces_the_old_one(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "one")
    write_whole(tmp_path / "a", "two — ü")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "two — ü"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_the_old_text_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_whole(tmp_path / "a", "one")
    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OSError(errno.ENOSPC, ""), "the disk of the cache is full"),
        (OSError(errno.EDQUOT, ""), "the quota of the cache's disk is used up"),
        (OSError(errno.EROFS, ""), "the cache is on a read-only disk"),
        (PermissionError(errno.EACCES, ""), "the cache cannot be written"),
        (NotADirectoryError(errno.ENOTDIR, ""), "the cache is not a folder"),
        (SafetensorError("I/O error: No space left on device"), "the disk of the cache is full"),
    ],
    ids=repr,
)
def test_faults_of_a_disk_are_one_sentence(fault: Exception, said: str, tmp_path: Path) -> None:
    with pytest.raises(DDBenchError, match=said) as caught, explain_faults(tmp_path):
        raise fault
    assert caught.value.facts[0] == str(tmp_path)
    assert caught.value.hint
    assert caught.value.__cause__ is fault


@pytest.mark.parametrize(
    "fault", [OSError(errno.EIO, ""), SafetensorError("header too large"), KeyError("a")], ids=repr
)
def test_other_faults_are_left_as_they_are(fault: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(fault)) as caught, explain_faults(tmp_path):
        raise fault
    assert caught.value is fault
