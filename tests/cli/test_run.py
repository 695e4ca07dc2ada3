"""`ddbench run`: what its flags say of a suite, and what a dry run prints."""

from __future__ import annotations

import pytest

from ddbench.cli.run import GridFlags
from ddbench.config.suite import SuiteTable


def test_flags_that_are_not_given_say_nothing():
    assert GridFlags().given_fields() == {}


def test_flags_are_fields_of_a_suite():
    flags = GridFlags(
        method="wmdd,dm",
        ipc="1,10",
        seed=0,
        holdout=0.0,
        reference=False,
        matcher="mmd[kernel=linear,biased=true]",
        set=["recover.lr=0.5"],
        batch_size="auto",
    )
    fields = flags.given_fields()
    assert fields == {
        "method": ["wmdd", "dm"],
        "ipc": [1, 10],
        "seed": 0,
        "holdout": 0.0,
        "reference": False,
        "matcher": ["mmd[kernel=linear,biased=true]"],
        "set": {"recover.lr": "0.5", "recover.batch_size": "auto"},
    }
    SuiteTable.model_validate(fields)


def test_an_option_of_its_own_flag_yields_to_set():
    flags = GridFlags(set=["recover.batch_size=3"], batch_size="auto")
    assert flags.given_fields()["set"] == {"recover.batch_size": "3"}


@pytest.mark.parametrize(
    ("flag", "default"),
    [("method", "wmdd"), ("dataset", "digits"), ("arch", "resnet18"), ("protocol", "ddbench-v1"),
     ("seeds", "3"), ("seed", "0"), ("students", "1")],
)  # fmt: skip
def test_help_names_the_defaults_of_a_suite(ddbench, flag, default):
    done = ddbench("run", "--help")
    line = next(line for line in done.out.splitlines() if f"--{flag} " in line)
    following = done.out.splitlines()[done.out.splitlines().index(line) + 1]
    assert f"[default: ({default})]" in line + following
    plain = SuiteTable().model_dump()[flag]
    assert plain in (default, [default], int(default) if default.isdigit() else default)


def test_a_dry_run_lists_the_stages_of_the_first_cells(ddbench, tmp_path):
    done = ddbench("run", "-m", "random", "-l", "hard", "--ipc", "1,2", "--seeds", 7,
                   "--no-reference", "--dry-run")  # fmt: skip
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].strip() == "14 cells"
    assert lines[-1] == "… and 2 more cells"
    assert "random, digits, IPC 1, resnet18, seed 0" in lines
    assert sum(line.startswith("  evaluate ") and "(to run)" in line for line in lines) == 12
    assert not (tmp_path / "cache" / "artifacts").exists()
