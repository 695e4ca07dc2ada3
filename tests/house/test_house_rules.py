"""Rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ddbench

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for name in ("ddbench", "plugins") for p in (ROOT / name).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES = 405
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


def test_imports_run_one_way() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Contracts: [3-9] kept, 0 broken", done.stdout)


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
