"""Every module has its test at the same path, or is named in one list with the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"ddbench": "tests", "plugins/ddbench_plugins": "tests/plugins"}
"""Folders of modules, and of their tests."""
ELSEWHERE = tomllib.loads(Path(__file__).with_name("tested_elsewhere.toml").read_text())


def untested() -> set[str]:
    """Modules `a/x.py` and `a/_x.py` for which there is no `a/test_x.py`."""
    lacking = set()
    for package, tests in PACKAGES.items():
        for module in (ROOT / package).rglob("*.py"):
            inner = module.relative_to(ROOT / package)
            test = ROOT / tests / inner.parent / f"test_{inner.stem.lstrip('_')}.py"
            if module.name != "__init__.py" and not test.exists():
                lacking.add(module.relative_to(ROOT).as_posix())
    return lacking


def test_every_module_is_tested_at_its_path_or_listed() -> None:
    assert untested() - ELSEWHERE.keys() == set()


def test_the_list_names_only_modules_that_need_it() -> None:
    assert ELSEWHERE.keys() - untested() == set()


def test_every_line_of_the_list_names_a_test_and_a_reason() -> None:
    for module, line in ELSEWHERE.items():
        assert (ROOT / line["test"]).is_file(), module
        assert len(line["why"].split()) > 3, module
