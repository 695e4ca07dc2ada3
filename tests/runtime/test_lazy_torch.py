"""`import torch` is put off until torch is used, and is then what it always was."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ddbench.runtime import lazy_torch
from ddbench.runtime.lazy_torch import defer_torch

SLOW = "slow_package"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package in torch's place; a line is added to `runs` whenever its code is run."""
    folder = tmp_path / SLOW
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import time\n"
        f"with open({str(tmp_path / 'runs')!r}, 'a') as runs: runs.write('run\\n')\n"
        "time.sleep(0.05)\n"
        "from . import part\n"
        "answer = 42\n"
    )
    (folder / "part.py").write_text("import slow_package\nname = slow_package.__name__\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(lazy_torch, "NAME", SLOW)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    defer_torch()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == SLOW]:
        del sys.modules[name]


def runs(package: Path) -> int:
    marks = package.parent / "runs"
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def test_an_import_runs_nothing_and_the_first_use_everything(package):
    first = importlib.import_module(SLOW)
    again = importlib.import_module(SLOW)
    assert first is again
    assert first.__name__ == SLOW
    assert runs(package) == 0
    assert first.answer == 42
    assert runs(package) == 1
    assert type(first) is ModuleType
    assert first.part.name == SLOW
    assert sys.modules[SLOW] is first
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = first.nothing
    assert runs(package) == 1


@pytest.mark.parametrize(
    "line", [f"import {SLOW}.part", f"from {SLOW} import answer", f"from {SLOW}.part import name"]
)
def test_parts_of_it_are_imported_as_ever(package, line):
    importlib.import_module(SLOW)
    exec(line, {})
    assert runs(package) == 1
    assert sys.modules[SLOW].answer == 42


def test_it_is_run_once_whoever_asks(package):
    module, found = importlib.import_module(SLOW), []
    threads = [threading.Thread(target=lambda: found.append(module.answer)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [42] * 8
    assert runs(package) == 1


def test_its_own_code_sees_what_is_not_there_yet(package):
    (package / "part.py").write_text(
        "import slow_package\nearly = hasattr(slow_package, 'answer')\n"
    )
    assert importlib.import_module(SLOW).part.early is False


def test_its_failure_is_told_at_every_use(package):
    (package / "part.py").write_text("raise ImportError('a library is missing')\n")
    module = importlib.import_module(SLOW)
    for _ in range(2):
        with pytest.raises(ImportError, match="a library is missing"):
            _ = module.answer


def test_what_is_not_installed_is_told_at_the_import(package, monkeypatch):
    monkeypatch.setattr(lazy_torch, "NAME", "package_that_is_not_there")
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("package_that_is_not_there")
    assert str(caught.value) == "No module named 'package_that_is_not_there'"


def test_nothing_is_done_twice_or_for_what_is_loaded(package, monkeypatch):
    before = list(sys.meta_path)
    defer_torch()
    assert sys.meta_path == before
    monkeypatch.setattr(sys, "meta_path", before[1:])
    monkeypatch.setattr(lazy_torch, "NAME", "torch")
    assert "torch" in sys.modules
    defer_torch()
    assert sys.meta_path == before[1:]


def test_torch_itself() -> None:
    code = (
        "import sys\n"
        "from ddbench.runtime.lazy_torch import defer_torch\n"
        "defer_torch()\n"
        "import torch, ddbench.api.types, ddbench.api.roles\n"
        "assert 'torch._C' not in sys.modules\n"
        "import torch.nn.functional as F\n"
        "from torch import nn\n"
        "assert F.relu(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]\n"
        "assert nn is torch.nn is sys.modules['torch.nn']\n"
        "assert type(torch) is type(sys)\n"
        "print(torch.__version__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import torch

    assert done.stdout.strip() == str(torch.__version__)
