"""Profiles: what recipes and a suite file mean by a name, who wins, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.config.grid import Selection, expand
from ddbench.config.profiles import Profile
from ddbench.config.suite import make_selection, read_suite
from ddbench.pipeline.recording import rename_record
from ddbench.registry import load
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.row_names import label_entries

SUITE = """
method = ["dm", "herding"]
seeds = 1
[set]
evaluate.lr = 0.5
[set_for.dm.recover]
iterations = 7
lr = 3.0

[profile.smoke]
seeds = 2
set = { "evaluate.lr" = 0.25 }
set_for = { dm = { "recover.iterations" = 5 } }

[profile.cpu]
ipc = [2]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE)
    return path


def cells(registry, path, profile="", **flags):
    plans = expand(make_selection(read_suite(path, profile, flags), "fp32"), registry, None)
    return [plan.cell for plan in plans]


def of(found, method):
    return next(cell for cell in found if cell.method == method)


def test_every_method_runs_small_under_smoke(registry):
    for name in registry.names("recipe"):
        found = expand(
            Selection(methods=(name,), seeds=1, reference=False, profile=Profile(name="smoke")),
            registry, None,
        )  # fmt: skip
        (cell,) = [plan.cell for plan in found]
        assert cell.profile == "smoke"
        assert cell.recipe.squeeze.epochs <= 2
        assert cell.protocol.training.max_updates <= 20
        assert getattr(cell.recipe.distiller, "iterations", 0) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", load().names("recipe"))
def test_every_method_ends_under_smoke(ddbench, name):
    outcome = ddbench("run", "-m", name, "--profile", "smoke", "--seeds", 1, "--format", "csv")
    assert outcome.code == 0, outcome.err
    assert "profile=smoke" in outcome.out


def test_the_file_wins_over_the_recipe_and_flags_over_all(registry, suite):
    cell = of(cells(registry, suite, "smoke"), "dm")
    training, loop = cell.protocol.training, cell.recipe.distiller
    assert (training.lr, loop.iterations, loop.lr) == (0.25, 5, 3.0)
    assert training.max_updates == 20  # of the recipe's own smoke
    told = {"set": {"recover.iterations": "4"}, "seeds": 1, "method": ["dm"]}
    found = cells(registry, suite, "smoke", **told)
    assert of(found, "dm").recipe.distiller.iterations == 4
    assert sum(cell.method == "dm" for cell in found) == 1


def test_a_record_bears_the_profile_of_its_run(registry, suite):
    for name in ("smoke", ""):
        found = expand(make_selection(read_suite(suite, name, {}), "fp32"), registry, None)
        told = Record(key="k", status="ok", method="m", dataset="digits", ipc=1, teacher="t",
                      student="s", labels="hard", protocol="p", seed=0)  # fmt: skip
        assert {rename_record(told, plan).profile for plan in found} == {name}


def test_options_of_one_method_leave_the_others_alone(registry, suite):
    found = cells(registry, suite)
    assert of(found, "dm").recipe.distiller.iterations == 7
    assert "recover.iterations" not in of(found, "herding").overrides
    assert of(found, "herding").protocol.training.lr == 0.5


def test_a_profile_that_only_chooses_cells_leaves_no_mark(registry, suite):
    small = cells(registry, suite, "cpu")
    assert {(cell.ipc, cell.profile) for cell in small} == {(2, ""), (None, "")}
    marks = {cell.method: cell.profile for cell in cells(registry, suite, "smoke")}
    assert marks == dict.fromkeys(("dm", "herding", "random", "full"), "smoke")


def test_reference_rows_are_marked_where_they_share_what_is_changed(registry):
    recipe = registry.get("recipe", "dm")(registry_info(registry), 1)
    loops = Profile(name="few", known=("few",), set={"recover.iterations": "3"})
    whole = registry.get("recipe", "full")(registry_info(registry), 1)
    assert (loops.mark(recipe), loops.mark_of_reference(recipe, whole)) == ("few", "")
    training = replace(loops, set={"evaluate.epochs": "3"})
    assert training.mark_of_reference(recipe, whole) == "few"
    own = replace(loops, set={}, set_for={"full": {"evaluate.epochs": "3"}})
    assert (own.mark(recipe), own.mark_of_reference(recipe, whole)) == ("", "few")
    alone = replace(loops, set={}, set_for={"dc": {"recover.iterations": "3"}})
    assert alone.mark(recipe) == ""


def test_a_reference_row_may_have_options_of_its_own(registry, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text('method = ["dm"]\n[profile.cpu.set_for.full]\nevaluate.epochs = 4\n')
    found = cells(registry, path, "cpu")
    epochs = {cell.method: cell.protocol.training.epochs for cell in found}
    assert epochs["full"] == 4
    assert epochs["random"] == epochs["dm"] != 4
    assert {cell.method: cell.profile for cell in found} == {"dm": "", "random": "", "full": "cpu"}
    assert of(found, "full").overrides == {"evaluate.epochs": "4"}


def registry_info(registry):
    return registry.get("dataset", "digits").info(None)


def test_an_unknown_name_is_told_with_those_that_exist(registry, suite):
    with pytest.raises(DDBenchError, match="unknown profile 'smok'") as caught:
        cells(registry, suite, "smok")
    assert caught.value.facts == ("known: cpu, smoke",)
    assert caught.value.hint == "did you mean 'smoke'?"
    with pytest.raises(DDBenchError, match="unknown profile 'smok'") as caught:
        cells(registry, None, "smok")
    assert caught.value.hint == "did you mean 'smoke'?"


def test_without_a_file_every_method_must_know_the_profile(registry):
    recipe = registry.get("recipe", "dm")(registry_info(registry), 1)
    bare = replace(recipe, name="bare", profiles={})
    Profile(name="smoke", known=("smoke",)).check([recipe, bare])
    with pytest.raises(DDBenchError, match="method 'bare' has no profile 'smoke'"):
        Profile(name="smoke").check([recipe, bare])


@pytest.mark.parametrize(
    ("text", "problem", "fact"),
    [
        ("[profile.cpu]\nseed_s = 1\n", "profile 'cpu' of ", "seed_s: no such field"),
        ('profile = "cpu"\n', "has a profile that cannot be read", "[profile.NAME]"),
        ("[profile]\ncpu = 3\n", "has a profile that cannot be read", "[profile.NAME]"),
        ("set_for = 3\n", "is not a valid suite", "set_for"),
        ("[set_for.dmm]\nrecover.lr = 1\n", "unknown method 'dmm'", "known: "),
        ("[profile.cpu.set_for]\nwmd = { recover = { lr = 1 } }\n", "unknown method 'wmd'", ""),
        ("[set_for.wmdd]\nrecover.iters = 1\n", "recover has no option 'iters'", "iterations"),
    ],
)
def test_slips_in_a_file_are_named(registry, tmp_path, text, problem, fact):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    chosen = "cpu" if "set_for]" in text else ""
    with pytest.raises(DDBenchError) as caught:
        cells(registry, path, chosen)
    assert problem in caught.value.problem
    assert fact in str(caught.value)


def test_however_two_tables_write_an_option_the_later_counts(registry, tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(
        'method = ["dm"]\nset = { "recover.lr" = 1.0 }\n[profile.a.set.recover]\nlr = 2.0\n'
    )
    assert of(cells(registry, path, "a"), "dm").recipe.distiller.lr == 2
    flags = {"set": {"recover.lr": "3.0"}}
    assert of(cells(registry, path, "a", **flags), "dm").recipe.distiller.lr == 3


def test_a_method_that_the_default_teacher_cannot_serve_names_its_own(registry):
    (cell,) = [c for c in cells(registry, None, method=["mtt"], seeds=1) if c.method == "mtt"]
    assert cell.teacher.name == "convnet3"
    named = cells(registry, None, method=["mtt"], seeds=1, teacher=["resnet18"])
    assert of(named, "mtt").teacher.name == "resnet18"
    assert of(cells(registry, None, seeds=1), "wmdd").teacher.name == "resnet18"


def test_rows_say_their_profile_and_so_does_the_file(registry, record):
    smoke = record(key="b", profile="smoke", given={"recover.lr": "1"})
    entries = label_entries(gather([record(key="a"), smoke]))
    assert {entry.label for entry in entries} == {"WMDD", "WMDD, profile=smoke, recover.lr=1"}
    assert "-smoke-" in smoke.file_name


@pytest.fixture
def record():
    from ddbench.api.record import Record

    def made(**fields):
        frame = {
            "status": "ok", "method": "wmdd", "title": "WMDD", "dataset": "digits", "ipc": 1,
            "teacher": "resnet18", "student": "resnet18", "labels": "fkd",
            "protocol": "ddbench-v1", "seed": 0, "metrics": [{"top1": 50.0}],
        }  # fmt: skip
        return Record(**{**frame, **fields})

    return made
