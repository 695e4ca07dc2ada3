"""What the wheel holds besides code: templates, types, the commit that its records will name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ddbench.cli.scaffold import RUN_LINES
from ddbench.runtime.environment import read_source_state

ROOT = Path(__file__).parents[2]
SOURCES = (
    "ddbench", "plugins", "pyproject.toml", "build_commit.py", "README.md", "LICENSE", ".gitignore",
)  # fmt: skip


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    done = subprocess.run(
        [*command, "--directory", str(folder)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture
def checkout(tmp_path):
    """A repository of its own with this source in it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "all of it")
    return folder


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *name, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_wheel_holds_the_templates_and_says_that_it_is_typed(tmp_path):
    kept = set(zipfile.ZipFile(build(ROOT, "wheel", tmp_path)).namelist())
    templates = ROOT / "ddbench" / "cli" / "scaffold_templates"
    assert {str(path.relative_to(ROOT)) for path in templates.iterdir()} <= kept
    assert {f"ddbench/cli/scaffold_templates/{kind}.py.tmpl" for kind in RUN_LINES} <= kept
    assert {"ddbench/py.typed", "ddbench_plugins/py.typed"} <= kept


def test_a_wheel_names_the_commit_it_was_built_from(checkout, tmp_path):
    unpacked = tmp_path / "site-packages"
    with zipfile.ZipFile(build(checkout, "wheel", tmp_path)) as wheel:
        wheel.extractall(unpacked)
    commit = git(checkout, "rev-parse", "HEAD")
    assert read_source_state(unpacked / "ddbench") == {"commit": commit, "dirty": False}
    assert git(checkout, "status", "--porcelain") == ""


def test_a_wheel_of_changed_sources_says_so_through_a_source_archive_too(checkout, tmp_path):
    (checkout / "README.md").write_text("changed")
    archive = build(checkout, "sdist", tmp_path)
    shutil.unpack_archive(archive, tmp_path / "sources")  # filters come with Python 3.11.4
    (source,) = (tmp_path / "sources").iterdir()
    with zipfile.ZipFile(build(source, "wheel", tmp_path)) as wheel:
        state = json.loads(wheel.read("ddbench/built_from.json"))
    assert state == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": True}
