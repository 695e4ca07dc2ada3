"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ddbench

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for name in ("ddbench", "plugins") for p in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES = 400
ENTRIES = 15
"""Of `ddbench/`, without caches: more could not be taken in at a glance."""
FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "misc", "helpers", "helper", "common", "tools", "stuff"}
VAGUE_WORDS = {"Of", "What", "Whether", "Whom", "That"}
"""First words of a docstring that is no sentence."""
MOST_VAGUE = 0
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pandas", "ot", "ddbench_plugins")


def python(*code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version_import_neither_torch_nor_a_plug_in(words: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['ddbench', *{words!r}]\n"
        "from ddbench.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("loaded: []")


def test_the_version_is_printed_and_is_the_packages() -> None:
    done = python("-m", "ddbench", "--version")
    assert done.stdout.strip() == f"ddbench {ddbench.__version__}"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", ddbench.__version__)


def test_no_source_file_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in SOURCES
        if (count := len(path.read_text().splitlines())) > LINES
    }
    assert not long


def test_the_root_of_the_package_is_taken_in_at_a_glance() -> None:
    entries = [path.name for path in (ROOT / "ddbench").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    }
    assert not long


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in SOURCES if path.stem.strip("_") in VAGUE_NAMES]
    assert not [path for path in SOURCES if path.parent.name in VAGUE_NAMES]


def test_every_folder_says_what_may_be_imported() -> None:
    """In its `__init__.py`; every package that it names there is one."""
    silent, strangers = [], []
    for path in SOURCES:
        if path.name != "__init__.py":
            continue
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        if not re.search(r"\b[Ii]mports?\b", text):
            silent.append(path)
        for name in re.findall(r"`(ddbench\.[\w.]+)`", text):
            if not is_importable(name):
                strangers.append(f"{path.relative_to(ROOT)}: {name}")
    assert (silent, strangers) == ([], [])


def is_importable(name: str) -> bool:
    """A module, or a member of one."""
    parent, _, member = name.rpartition(".")
    with contextlib.suppress(ModuleNotFoundError):  # the parent is no package
        if importlib.util.find_spec(name):
            return True
    return hasattr(importlib.import_module(parent), member)


def test_docstrings_are_sentences() -> None:
    """A first word such as "Of" or "What" begins half a sentence, which has to be guessed at."""
    vague = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node))
        and re.split(r"\W", text, maxsplit=1)[0] in VAGUE_WORDS
    ]
    assert len(vague) <= MOST_VAGUE, vague


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_every_test_module_says_what_it_checks() -> None:
    trees = {path: ast.parse(path.read_text()) for path in TESTS}
    assert not [path.name for path, tree in trees.items() if not ast.get_docstring(tree)]


def test_the_harness_names_no_plug_in() -> None:
    named = [path.name for path in (ROOT / "ddbench").rglob("*.py")
             if "import ddbench_plugins" in path.read_text()
             or "from ddbench_plugins" in path.read_text()]  # fmt: skip
    assert not named


def _imported(path: Path) -> set[str]:
    """Packages of ddbench that a file imports, its type annotations included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    found |= {name.name for n in nodes if isinstance(n, ast.Import) for name in n.names}
    return {name.split(".")[1] for name in found if name.startswith("ddbench.")}


def test_plug_ins_import_the_contract_alone() -> None:
    """What is not listed is not for plug-ins; import-linter knows only what was thought of."""
    used = {path.name: _imported(path) for path in (ROOT / "plugins").rglob("*.py")}
    strangers = {name: found - {"api"} for name, found in used.items() if found - {"api"}}
    assert strangers == {}


def test_no_device_is_written_down() -> None:
    """Every tensor goes where the context or another tensor says."""
    pinned = [
        f"{path.name}: {found}"
        for path in SOURCES
        for found in re.findall(r"\.cuda\(|\.to\(\"cuda|device=\"cuda", path.read_text())
    ]
    assert not pinned


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Checks the import contract of the sources in a folder, which need not be installed."""
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed")
    path = os.pathsep.join(map(str, (folder, folder / "plugins")))
    command = [tool, "--config", folder / ".importlinter", "--no-cache"]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_imports_run_one_way() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Contracts: [3-9] kept, 0 broken", done.stdout)


def test_a_new_folder_without_a_layer_breaks_the_import_contract(tmp_path: Path) -> None:
    for name in ("ddbench", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    (tmp_path / "ddbench" / "newcomer").mkdir()
    (tmp_path / "ddbench" / "newcomer" / "__init__.py").write_text('"""In no layer."""\n')
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "newcomer" in done.stdout


def test_every_plug_in_module_has_an_entry_point() -> None:
    import tomllib

    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    folder = ROOT / "plugins" / "ddbench_plugins"
    providers = {
        "ddbench_plugins." + ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if "@hookimpl" in path.read_text()
    }
    assert set(points["ddbench"].values()) == providers
