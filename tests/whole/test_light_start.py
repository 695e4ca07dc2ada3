"""What only plans, lists or tabulates loads neither torch nor what is built on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch._C", "torchvision", "timm", "kornia", "sklearn", "pandas", "PIL", "ot",
         "torchmetrics", "matplotlib")  # fmt: skip
"""`torch` alone may stand for a module that is not loaded yet; `torch._C` is there once it is."""
LOADED = f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
SUITE = """
method = ["wmdd", "dm", "mtt", "herding"]
dataset = ["digits"]
ipc = [1, 2]
labels = ["hard", "soft"]
evaluator = ["coverage", "corruptions"]
seeds = 2

[set]
"squeeze.epochs" = 3
"""


def python(code: str, cache: Path | None = None) -> str:
    """What the code prints in a process of its own."""
    place = {"DDBENCH_CACHE": str(cache)} if cache else {}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(words: list[str], cache: Path) -> str:
    """What a command prints, and then which heavy modules it has loaded."""
    return python(
        "import sys\n"
        f"sys.argv = ['ddbench', *{words!r}]\n"
        "from ddbench.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n" + LOADED,
        cache,
    )


def test_a_dry_run_loads_nothing_heavy(tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    words = ["run", str(suite), "--dry-run", "--device", "cpu"]
    found = command(words, tmp_path / "cache")
    assert "evaluate" in found
    assert found.rstrip().endswith("loaded: []")


@pytest.mark.parametrize("words", [["list"], ["show", "wmdd"]])
def test_parts_and_methods_are_shown_without_torch(words, tmp_path):
    found = command(words, tmp_path)
    assert "barycenter" in found
    assert found.rstrip().endswith("loaded: []")


def test_a_finished_grid_is_tabulated_without_torch(ddbench, tiny, tmp_path):
    words = ["run", "--method", "random", "--ipc", 2, "--no-reference", "--labels", "hard", *tiny]
    first = ddbench(*words)
    assert first.code == 0, first.err
    again = command([str(word) for word in words], tmp_path / "cache")
    assert "random" in again.casefold()
    assert again.rstrip().endswith("loaded: []")
    table = command(["table"], tmp_path / "cache")
    assert table.rstrip().endswith("loaded: []")


def test_our_own_plug_ins_are_imported_without_torch():
    found = python(
        "import sys\n"
        "from importlib.metadata import entry_points\n"
        "from ddbench.runtime.lazy_torch import defer_torch\n"
        "defer_torch()\n"
        "points = [p for p in entry_points(group='ddbench')\n"
        "          if p.value.startswith('ddbench_plugins.')]\n"
        "for point in points:\n"
        "    point.load()\n"
        "    assert 'torch._C' not in sys.modules, point.value\n"
        "print(len(points), 'plug-ins')\n" + LOADED
    )
    assert int(found.split()[0]) > 30
    assert found.rstrip().endswith("loaded: []")
