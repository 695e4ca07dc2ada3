"""Strangers: packages that are installed by pip, found, checked and run like built-in parts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.installed import install, provider

EXAMPLE = Path(__file__).parents[2] / "examples" / "ddbench-energy"
FIRST = Path(__file__).parents[1] / "doubles" / "energy_at_cc9f156"
"""The example as it was written for the first contract, before modules moved to `ddbench.api`."""
QUICK = """
name = "quick"
[training]
epochs = 2
batch_size = 10
"""
"""A protocol that trains for moments."""


def run(*command: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command with `site` on the import path, wide enough that tables are not folded."""
    environment = {
        **os.environ, "PYTHONPATH": str(site), "COLUMNS": "200", "OMP_NUM_THREADS": "1",
        "DDBENCH_CACHE": str(cwd / "cache"),
    }  # fmt: skip
    environment.pop("DDBENCH_PLUGINS", None)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def ddbench(*arguments: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "ddbench", *arguments, site=site, cwd=cwd)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the example package and a package as `ddbench new` writes it."""
    site, home = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("home")
    made = ddbench("new", "evaluator", "my_confidence", site=site, cwd=home)
    assert made.returncode == 0, made.stderr
    assert "ddbench check ddbench-my-confidence" in made.stdout
    done = run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
        "--no-build-isolation", "--disable-pip-version-check", "--target", str(site),
        str(EXAMPLE), str(home / "ddbench-my-confidence"), site=site, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return site


def test_parts_are_listed_beside_the_built_in_ones(site, tmp_path):
    done = ddbench("list", site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("energy", "calibration", "my_confidence", "wasserstein", "accuracy"):
        assert f"  {name} " in done.stdout
    assert "broken" not in done.stdout


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("ddbench-energy", "ddbench-energy: 2 parts, all conform"),
        ("ddbench_energy.matcher", "ddbench_energy.matcher: 1 part, all conform"),
        ("ddbench-my-confidence", "ddbench-my-confidence: 1 part, all conform"),
    ],
)
def test_packages_conform(site, tmp_path, package, says):
    done = ddbench("check", package, site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout


def test_the_example_passes_its_own_tests(site, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = run(*command, "--rootdir", str(EXAMPLE), str(EXAMPLE), site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_metrics_of_strangers_stand_in_the_records_of_a_grid(site, tmp_path):
    (tmp_path / "quick.toml").write_text(QUICK)
    grid = ["run", "-m", "random", "-l", "hard", "-a", "convnet3", "--seeds", "1"]
    how = ["--no-reference", "--protocol", "quick.toml", "--device", "cpu"]
    first = ddbench(*grid, *how, site=site, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    done = ddbench(*grid, *how, "-e", "calibration,my_confidence", site=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "cache" / "records").glob("*.json")
    (metrics,) = json.loads(record.read_text())["metrics"]
    assert {"top1", "ece", "my_confidence"} <= set(metrics)
    assert len(list((tmp_path / "cache" / "artifacts" / "evaluate").iterdir())) == 1


def test_a_broken_plugin_is_one_line_and_stops_nobody(site, tmp_path):
    install(tmp_path, "ddbench-torn", {"torn_plugin": "raise ImportError('no [bold] module')"})
    both = Path(f"{site}{os.pathsep}{tmp_path}")
    done = ddbench("list", site=both, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "torn_plugin" in line]
    assert lines == ["broken plug-in torn_plugin (ddbench-torn): ImportError: no [bold] module"]
    assert "  energy " in done.stdout
    listed = ddbench("list", "plugins", site=both, cwd=tmp_path)
    assert "broken: ImportError: no [bold] module" in listed.stdout
    checked = ddbench("check", "ddbench-torn", site=both, cwd=tmp_path)
    assert checked.returncode == 1
    assert "ImportError: no [bold] module" in checked.stdout
    assert "Traceback" not in checked.stderr


def test_two_parts_of_one_name_are_an_error_that_names_both(site, tmp_path):
    install(tmp_path, "ddbench-calib", {"calib_plugin": provider("evaluator", "calibration")})
    both = Path(f"{site}{os.pathsep}{tmp_path}")
    done = ddbench("list", site=both, cwd=tmp_path)
    assert done.returncode == 2
    assert "two plug-ins provide evaluator 'calibration'" in done.stderr
    assert "ddbench-calib:calib_plugin" in done.stderr
    assert "ddbench-energy:ddbench_energy.evaluator" in done.stderr


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("ddbench-enerjy", "did you mean 'ddbench-energy'?"),
        ("nowhere_to_be_found", "hint: install it first"),
        ("pluggy", "package 'pluggy' is installed, but no plug-in of it"),
    ],
)
def test_what_is_no_plugin_is_one_sentence(site, tmp_path, package, says):
    done = ddbench("check", package, site=site, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_for_the_first_contract_loads_or_is_told_what_to_change(tmp_path):
    """Line by line as it is told, and no more: then its parts are listed."""
    modules = {
        f"first_energy.{path.name.partition('.')[0]}": path.read_text() for path in FIRST.iterdir()
    }
    install(tmp_path, "ddbench-first", modules)
    for _ in range(10):
        done = ddbench("list", site=tmp_path, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        broken = [line for line in done.stdout.splitlines() if "broken plug-in" in line]
        if not broken:
            break
        for line in broken:
            module = re.search(r"broken plug-in (\S+)", line)[1]
            old, new = re.search(r"'(ddbench\.\w+)' is '(ddbench\.[\w.]+)' now", line).groups()
            path = tmp_path / f"{module.replace('.', '/')}.py"
            path.write_text(path.read_text().replace(f"from {old} ", f"from {new} "))
    assert "  energy " in done.stdout
    assert "  calibration " in done.stdout
    checked = ddbench("check", "ddbench-first", site=tmp_path, cwd=tmp_path)
    assert "ddbench-first: 2 parts, all conform" in checked.stdout, checked.stdout
