"""The environment card: machine, versions and the commit of the sources that run."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from ddbench.runtime.environment import PACKAGES, describe_environment, read_source_state


def git(folder: Path, *words: object) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_card_is_json_and_names_what_bears_on_numbers() -> None:
    card = json.loads(json.dumps(describe_environment()))
    assert card["packages"].keys() == set(PACKAGES)
    assert card["packages"]["torch"] == version("torch")
    assert card["threads"] == torch.get_num_threads()
    assert card["memory_bytes"] > 2**28
    assert {"platform", "python", "cpu", "cores", "gpu", "cuda", "commit", "dirty"} <= card.keys()


def test_a_package_that_is_not_there_has_no_version(monkeypatch) -> None:
    monkeypatch.setattr("ddbench.runtime.environment.PACKAGES", ("torch", "package-not-there"))
    assert describe_environment.__wrapped__()["packages"]["package-not-there"] is None


def test_a_checkout_names_its_commit_and_says_whether_it_was_changed(tmp_path: Path) -> None:
    package = tmp_path / "ddbench"
    package.mkdir()
    (package / "a.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert read_source_state(package) == {"commit": commit, "dirty": False}
    (package / "a.py").write_text("changed")
    assert read_source_state(package) == {"commit": commit, "dirty": True}
    installed = package / "lib" / "ddbench"  # in somebody else's repository
    installed.mkdir(parents=True)
    assert read_source_state(installed) == {"commit": None, "dirty": None}


def test_without_repository_and_without_build_there_is_no_commit(tmp_path: Path) -> None:
    (tmp_path / "ddbench").mkdir()
    assert read_source_state(tmp_path / "ddbench") == {"commit": None, "dirty": None}
    (tmp_path / "ddbench" / "built_from.json").write_text("{ broken")
    assert read_source_state(tmp_path / "ddbench") == {"commit": None, "dirty": None}
    state = {"commit": "abc", "dirty": True}
    (tmp_path / "ddbench" / "built_from.json").write_text(json.dumps(state))
    assert read_source_state(tmp_path / "ddbench") == state
