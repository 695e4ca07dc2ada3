"""Suite files: what a field may be, and claims that no row would show."""

from __future__ import annotations

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.config.suite import read_suite, refuse_lost_claims


@pytest.mark.parametrize("field", ["method", "dataset", "arch", "protocol"])
def test_a_suite_of_nothing_is_refused(tmp_path, field):
    path = tmp_path / "empty.toml"
    path.write_text(f"{field} = []\n")
    with pytest.raises(DDBenchError, match="not a valid suite") as caught:
        read_suite(path, "", {})
    assert caught.value.facts[0] == f"{field}: expected one value or more, found none"


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("ipc = true", "ipc.0: expected a whole number, found True"),
        ('ipc = ["1"]', "ipc.0: expected a whole number, found '1'"),
        ("holdout = nan", "holdout: expected a finite number, found nan"),
        ("reference = 1", "reference: expected true or false, found 1"),
        ("set = 3", "set: expected a table, found 3"),
        ('[[claim]]\nrow = "wmdd"\ndataset = "digits"\nipc = 1\nvalue = nan',
         "claim.0.value: expected a finite number, found nan"),
        ('[[claim]]\nrow = "wmdd"\ndataset = "digits"\nipc = 1', "claim.0.value: is missing"),
        ('[[claim]]\nrow = "wmdd"\ndataset = "digits"\nipc = 1\nvalue = 1\nmetric = "top2"',
         "claim.0.metric: expected 'top1', 'iteration_seconds', 'total_seconds' or 'peak_bytes',"
         " found 'top2'"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_told_in_words(tmp_path, line, fact):
    path = tmp_path / "suite.toml"
    path.write_text(line + "\n")
    with pytest.raises(DDBenchError, match="not a valid suite") as caught:
        read_suite(path, "", {})
    assert caught.value.facts == (fact,)


CLAIM = '[[claim]]\nrow = "{}"\ndataset = "digits"\nipc = 1\nvalue = 1.0\n'


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        ('method = ["wmdd"]', "wmdd"),
        ('method = ["wmdd"]\n[profile.cpu]\nmethod = ["dm"]', "dm"),
        ('method = ["dm"]\n[profile.cpu]\nmethod = ["wmdd"]', "dm"),
        ('[[variant]]\nname = "mine"', "mine"),
        ('matcher = ["wasserstein", "mmd"]\nregularizer = ["pcbn", "none"]', "mmd + none"),
        ('matcher = ["0.5*mmd+wasserstein"]', "mmd+wasserstein + class_batch_norm"),
        ('[[variant]]\nregularizer = "pcbn"', "wasserstein + class_batch_norm"),
    ],
)
def test_a_claim_of_any_row_of_the_file_is_taken(tmp_path, registry, rows, row):
    path = tmp_path / "suite.toml"
    path.write_text(f"{rows}\n{CLAIM.format(row)}")
    refuse_lost_claims(read_suite(path, "", {}), registry)
    if "profile" in rows:
        refuse_lost_claims(read_suite(path, "cpu", {}), registry)
    refuse_lost_claims(read_suite(path, "", {"method": ["herding"]}), registry)


@pytest.mark.parametrize(
    ("rows", "row", "guess"),
    [
        ('method = ["wmdd", "dm"]', "wmd", "wmdd"),
        ('[[variant]]\nname = "layer 18"', "layer 19", "layer 18"),
        ('[[variant]]\nname = "layer 18"', "wmdd", ""),
        ('matcher = ["mmd"]\nregularizer = ["none"]', "mmd + nine", "mmd + none"),
        ('matcher = ["mmd"]', "mmd + clas_batch_norm", ""),
    ],
)
def test_a_claim_of_no_row_is_refused(tmp_path, registry, rows, row, guess):
    path = tmp_path / "suite.toml"
    path.write_text(f"{rows}\n{CLAIM.format(row)}")
    with pytest.raises(DDBenchError, match="unknown row") as caught:
        refuse_lost_claims(read_suite(path, "", {}), registry)
    assert f"'{row}'" in caught.value.problem
    assert guess in caught.value.hint


def test_a_run_refuses_a_claim_of_no_row(ddbench, tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(f'method = ["wmdd"]\n{CLAIM.format("wmd")}')
    done = ddbench("run", path, "--dry-run")
    assert done.code == 2
    assert "unknown row 'wmd'" in done.err
