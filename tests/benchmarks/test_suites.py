"""Suites of `benchmarks/`: every profile can be planned, and the smallest one runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.config.claimed_rows import refuse_lost_claims
from ddbench.config.grid import Selection, expand
from ddbench.config.suite import read_suite, selection_of
from ddbench.pipeline.recording import find_claims
from ddbench.registry import load

SUITES = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.toml"))
NAMED = [path for path in SUITES if path.stem != "digits"]
PROFILES = ("paper", "gpu", "cpu", "smoke")


def planned(suite: Path, profile: str, **flags):
    """The plans on digits, which are always there, but for data sets everything as it stands."""
    table = read_suite(suite, profile, flags)
    return expand(selection_of(table, "fp32"), load(), None)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("suite", NAMED, ids=lambda path: path.stem)
def test_every_profile_is_there_and_names_parts_that_exist(suite, profile):
    assert planned(suite, profile, dataset=["digits"])


@pytest.mark.parametrize("suite", NAMED, ids=lambda path: path.stem)
def test_every_claim_belongs_to_a_row(suite):
    """A slip in a row's name would leave a published figure out in silence."""
    table = read_suite(suite, "paper", {"dataset": ["digits"], "seeds": 1})
    selection = selection_of(table, "fp32")
    rows = {plan.cell.method for plan in expand(selection, load(), None)}
    assert set(selection.claims) <= rows
    claimed = {(c.dataset, c.ipc) for claims in selection.claims.values() for c in claims}
    datasets = {d.partition("@")[0] for d in read_suite(suite, "paper", {}).dataset}
    assert {dataset for dataset, _ in claimed} <= datasets
    assert {ipc for _, ipc in claimed} <= set(table.ipc)


def test_a_claim_of_the_suite_comes_before_that_of_the_recipe():
    suite = next(path for path in SUITES if path.stem == "table3")
    table = read_suite(suite, "smoke", {})
    claims = [c.model_copy(update={"dataset": "digits"}) for c in table.claim]
    selection: Selection = selection_of(table.model_copy(update={"claim": claims}), "fp32")
    (plan,) = [p for p in expand(selection, load(), None) if p.cell.method == "wmdd"]
    found = {c.metric: c.value for c in find_claims(plan)}
    assert found == {"iteration_seconds": 0.013, "peak_bytes": 1.22e9, "total_seconds": 207.53}


def test_a_variant_with_other_options_has_the_claims_of_its_suite_alone():
    suite = next(path for path in SUITES if path.stem == "table6")
    claimed = {
        plan.cell.method: {claim.dataset for claim in plan.cell.recipe.claims}
        for plan in planned(suite, "paper", dataset=["digits"], seeds=1)
    }
    assert claimed["layer 5"] == {"tiny_imagenet"}
    assert "imagenette" in claimed["layer 18"], "the method as it is"


def test_what_was_published_under_other_labels_is_not_shown():
    suite = next(path for path in SUITES if path.stem == "methods")
    found = {
        (plan.cell.method, plan.cell.labels): bool(plan.cell.recipe.claims)
        for plan in planned(suite, "paper", dataset=["digits"], seeds=1, method=["wmdd", "random"])
    }
    assert found["wmdd", "fkd"]
    assert not found["wmdd", "hard"]
    assert found["random", "hard"], "papers print it beside rows of any labels"
    assert found["random", "fkd"]


@pytest.mark.smoke
@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_the_smallest_profile_runs(suite, ddbench):
    done = ddbench("run", suite, "--profile", "smoke", "--device", "cpu", "--format", "md")
    assert done.code == 0, done.err
    assert "| method |" in done.out


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


def test_a_layer_that_a_file_calls_by_digits_stays_text(tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text('[set]\n"matcher.target.layer" = "2"\n')
    cells = {p.cell.method: p.cell for p in planned(path, "", seeds=1)}
    assert cells["wmdd"].recipe.matchers[0].part.target.layer == "2"


def test_the_table_of_a_suite_has_its_cells_of_every_precision(ddbench, alone, tmp_path):
    """Whatever the machine that makes the table would take by itself."""
    suite = tmp_path / "suite.toml"
    suite.write_text(
        'title = "One"\nmethod = ["random"]\ndataset = ["digits"]\nipc = [1]\nlabels = ["hard"]\n'
        f'arch = ["convnet3_bn"]\nprotocol = "{tmp_path / "tiny.toml"}"\nseeds = 1\n'
        "reference = false\n[set]\n'student.width' = 16\n"
    )
    for precision in ("fp32", "bf16"):
        outcome = ddbench("run", suite, "--precision", precision, "--device", "cpu")
        assert outcome.code == 0, outcome.err
        outcome = ddbench("table", suite, "-f", "csv")
        assert outcome.code == 0, outcome.err
        assert precision in outcome.out
    assert len(outcome.out.splitlines()) == 3  # a head and two rows
