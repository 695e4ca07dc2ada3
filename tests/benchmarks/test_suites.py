"""Suites of `benchmarks/`: every profile can be planned, and the smallest one runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench.config.grid import Selection, expand
from ddbench.config.suite import make_selection, read_suite
from ddbench.pipeline.recording import find_claims
from ddbench.registry import load

SUITES = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.toml"))
NAMED = [path for path in SUITES if path.stem != "digits"]
PROFILES = ("paper", "gpu", "cpu", "smoke")


def planned(suite: Path, profile: str, **flags):
    """The plans on digits, which are always there, but for data sets everything as it stands."""
    table = read_suite(suite, profile, flags)
    return expand(make_selection(table, "fp32"), load(), None)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("suite", NAMED, ids=lambda path: path.stem)
def test_every_profile_is_there_and_names_parts_that_exist(suite, profile):
    assert planned(suite, profile, dataset=["digits"])


@pytest.mark.parametrize("suite", NAMED, ids=lambda path: path.stem)
def test_every_claim_belongs_to_a_row(suite):
    """A slip in a row's name would leave a published figure out in silence."""
    table = read_suite(suite, "paper", {"dataset": ["digits"], "seeds": 1})
    selection = make_selection(table, "fp32")
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
    selection: Selection = make_selection(table.model_copy(update={"claim": claims}), "fp32")
    (plan,) = [p for p in expand(selection, load(), None) if p.cell.method == "wmdd"]
    found = {c.metric: c.value for c in find_claims(plan)}
    assert found == {"iteration_seconds": 0.013, "peak_bytes": 1.22e9, "total_seconds": 207.53}


def test_a_variant_with_other_options_has_the_claims_of_its_suite_alone():
    suite = next(path for path in SUITES if path.stem == "table6")
    claimed = {
        plan.cell.method: {claim.dataset for claim in plan.cell.recipe.card.claims}
        for plan in planned(suite, "paper", dataset=["digits"], seeds=1)
    }
    assert claimed["layer 5"] == {"tiny_imagenet"}
    assert "imagenette" in claimed["layer 18"], "the method as it is"


def test_what_was_published_under_other_labels_is_not_shown():
    suite = next(path for path in SUITES if path.stem == "methods")
    found = {
        (plan.cell.method, plan.cell.labels): bool(plan.cell.recipe.card.claims)
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
