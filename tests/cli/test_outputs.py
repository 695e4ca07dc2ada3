"""What commands write for the user: whole or not at all, and a disk's faults are one sentence."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.whole.test_bad_input import refused

DIGITS = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"
ONE = sorted(DIGITS.glob("wmdd-*.json"))[0]
FROM = ["--records", DIGITS]


@pytest.fixture
def full(monkeypatch):
    """A disk on which nothing more can be written."""

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", refuse)


@pytest.mark.parametrize(
    "command", [("table", "-f", "md"), ("table", "-f", "terminal"), ("report", "--no-images")]
)
def test_an_old_file_outlives_a_full_disk(ddbench, tmp_path, request, command):
    path = tmp_path / "page"
    path.write_bytes(b"old")
    request.getfixturevalue("full")
    done = ddbench(*command, *FROM, "-o", path)
    refused(done, f"{path} cannot be written", "No space left", "check rights and space")
    assert "cache" not in done.err
    assert path.read_bytes() == b"old"
    assert list(tmp_path.glob(".*")) == []


NOWHERE = Path("/proc/none/x")
"""Not even root makes a folder there."""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "words",
    [
        ["table", *FROM, "-o", NOWHERE], ["table", *FROM, "-o", "/proc/x.md"],
        ["table", *FROM, "--diagram", NOWHERE / "x.svg"], ["report", *FROM, "-o", NOWHERE],
        ["report", *FROM, "-o", "/proc/x.html", "--no-images"],
        ["report", *FROM, "-o", "page.html", "--figures", NOWHERE],
        ["list", "--pages", NOWHERE], ["leaderboard", "add", NOWHERE, ONE],
    ],
    ids=lambda words: " ".join(Path(word).name for word in words),
)  # fmt: skip
def test_a_place_that_cannot_be_written(ddbench, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    refused(ddbench(*words), "/proc/", "cannot be written", "check rights and space")
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    "words", [["report", *FROM, "-o", "page.html", "--figures"], ["list", "--pages"]]
)
def test_a_file_in_the_place_of_a_folder(ddbench, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("mine")
    refused(ddbench(*words, "README.md"), "README.md is a file", "expected: a folder")
    assert Path("README.md").read_text() == "mine"
    assert not Path("page.html").exists()


def test_a_link_and_a_device_are_written_through(ddbench, tmp_path):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "link.md").symlink_to(tmp_path / "real.md")
    assert ddbench("table", *FROM, "-f", "md", "-o", tmp_path / "link.md").code == 0
    assert (tmp_path / "link.md").is_symlink()
    assert "± " in (tmp_path / "real.md").read_text(encoding="utf-8")
    assert ddbench("table", *FROM, "-f", "md", "-o", os.devnull).code == 0
    assert not Path(os.devnull).is_file()


# -- what only reads makes nothing -----------------------------------------------------------------


@pytest.mark.parametrize("verb", ["ls", "verify", "gc"])
def test_a_cache_that_is_not_there_is_not_made(ddbench, tmp_path, verb):
    refused(ddbench("cache", verb, "--cache", tmp_path / "typo"), f"no folder {tmp_path / 'typo'}")
    assert not (tmp_path / "typo").exists()
    (tmp_path / "home").mkdir()
    done = ddbench("cache", verb, "--cache", tmp_path / "home")
    refused(done, f"{tmp_path / 'home'} is no cache", "artifacts/")
    assert list((tmp_path / "home").iterdir()) == []


def test_a_report_and_the_doctor_make_no_cache(ddbench, tmp_path):
    shutil.copytree(DIGITS, tmp_path / "records")
    for words in (["report", "--records", tmp_path / "records", "-o", tmp_path / "page.html"],
                  ["doctor"]):  # fmt: skip
        done = ddbench(*words, "--cache", tmp_path / "typo")
        assert done.code == 0, done.out + done.err
        assert not (tmp_path / "typo").exists()


# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "fact", "hint"),
    [
        (["-m", "wmd"], "none is of the method 'wmd'", "did you mean 'wmdd'?"),
        (["-d", "digt"], "none is of the data set 'digt'; there are: digits", "'digits'"),
        (["-a", "resnet81"], "none is of the student 'resnet81'", "'resnet18'"),
        (["-l", "fdk"], "none is of the labels 'fdk'", "'fkd'"),
        (["--protocol", "ddbench-v2"], "none is of the protocol 'ddbench-v2'", "'ddbench-v1'"),
        (["--ipc", "7"], "none is of --ipc 7; there are: ", "filter otherwise"),
        (["-m", "wmdd", "--ipc", "7"], "none is of --ipc 7; there are: ", "filter otherwise"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_filter_that_nothing_passes_says_what_there_is(ddbench, filters, fact, hint):
    done = ddbench("table", *FROM, *filters)
    refused(done, "no records to tabulate", fact, hint)
    assert done.out == ""


def test_full_data_stands_beside_an_ipc_and_may_be_asked_for(ddbench):
    for filters in (["--ipc", "1"], ["-m", "full", "--ipc", "1"]):
        done = ddbench("table", *FROM, "-f", "csv", *filters)
        assert done.code == 0, done.err
        assert "full" in done.out


@pytest.mark.parametrize("words", [["--profile", "nosuch"], ["--set", "recover.lr=1"]])
def test_options_of_a_suite_need_a_suite(ddbench, words):
    refused(ddbench("table", *FROM, *words), f"{words[0]} bears on the cells of a suite")


@pytest.mark.parametrize(
    ("flag", "name"), [("-m", "method"), ("-d", "dataset"), ("-a", "arch"), ("-l", "labels"),
                       ("--ipc", "ipc"), ("-e", "evaluator"), ("--protocol", "protocol")],
)  # fmt: skip
def test_an_empty_filter_is_refused(ddbench, flag, name):
    done = ddbench("table", *FROM, flag, "")
    assert (done.code, done.out) == (2, "")
    assert f"--{name} is empty" in done.err
