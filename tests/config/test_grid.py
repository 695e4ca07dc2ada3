"""Grids: reference rows, ablations, names that do not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.config.grid import Selection, Variant, expand
from tests.doubles.learning import learner


def _cells(registry, **choices):
    plans = expand(Selection(**{"seeds": 1, **choices}), registry, None)
    return [p.cell for p in plans]


def test_every_grid_has_its_reference_rows_under_the_same_labels(registry):
    cells = _cells(registry, labels=("hard",), seeds=2)
    rows = {(c.method, c.ipc) for c in cells}
    assert rows == {("wmdd", 1), ("random", 1), ("full", None)}
    assert {type(c.recipe.labeller).__name__ for c in cells} == {"Hard"}


def test_reference_rows_go_without_what_was_learned(registry, monkeypatch):
    """Real images have neither labels nor a rate of their own: classes, and the protocol's rate."""
    monkeypatch.setitem(registry.parts["recipe"], "learner", learner)
    learned = {"evaluate.learned_rate": "true", "evaluate.epochs": "3"}

    def rows(*methods):
        cells = _cells(registry, methods=methods, assignments=learned)
        assert {cell.protocol.training.epochs for cell in cells} == {3}
        return {(cell.method, cell.labels, cell.protocol.learned_rate) for cell in cells}

    own, beside = ("learner", "learned", True), {("random", "hard", False), ("full", "hard", False)}
    assert rows("learner") == {own, *beside}
    assert rows("learner", "random") == {
        own, *beside, ("random", "fkd", False), ("full", "fkd", False),
    }  # fmt: skip
    for choices in ({"labels": ("learned",)}, {"assignments": learned}):
        with pytest.raises(DDBenchError, match="the images of method 'random' come without"):
            _cells(registry, methods=("random",), reference=False, **choices)


def test_the_full_data_row_is_shared_by_every_ipc(registry):
    cells = _cells(registry, ipcs=(1, 2))
    assert [c.ipc for c in cells if c.method == "full"] == [None]
    assert sorted(c.ipc for c in cells if c.method == "random") == [1, 2]


def test_reference_rows_stand_beside_every_teacher_also_where_they_ask_none(registry):
    """Under hard labels they are the same cells: one record each, in two places of a table."""
    choices = {"methods": ("wmdd",), "labels": ("hard",), "teachers": ("resnet18", "convnet3_bn")}
    plans = expand(Selection(seeds=1, students=("resnet50",), **choices), registry, None)
    rows = {(p.cell.method, p.cell.teacher.name) for p in plans}
    assert rows == {(m, t) for m in ("wmdd", "random", "full") for t in choices["teachers"]}
    assert len(plans) == 6
    assert len({p.key for p in plans}) == 4


def test_protocols_of_equal_content_are_rows_of_their_own(registry, tmp_path):
    for name in ("one", "two"):
        told = f'name = "{name}"\n[training]\nepochs = 3\n'
        (tmp_path / f"{name}.toml").write_text(told)
    protocols = tuple(str(tmp_path / f"{name}.toml") for name in ("one", "two"))
    plans = expand(Selection(seeds=1, protocols=protocols, reference=False), registry, None)
    assert [p.cell.protocol.name for p in plans] == ["one", "two"]
    assert len({p.key for p in plans}) == 1


def test_a_baseline_that_is_asked_for_is_there_once(registry):
    cells = _cells(registry, methods=("random",))
    assert [c.method for c in cells].count("random") == 1


def test_an_option_of_the_loop_bears_on_the_rows_that_have_a_loop(registry):
    few = {"recover.iterations": "3", "evaluate.epochs": "4"}
    cells = _cells(registry, methods=("wmdd", "random"), assignments=few)
    given = {c.method: dict(c.overrides) for c in cells if c.method != "full"}
    assert given == {"wmdd": few, "random": {"evaluate.epochs": "4"}}
    with pytest.raises(DDBenchError, match="no option 'iteratons'"):
        _cells(registry, methods=("wmdd", "random"), assignments={"recover.iteratons": "3"})
    with pytest.raises(DDBenchError, match="no option 'iterations'"):
        _cells(registry, methods=("random",), assignments=few)


def test_flags_make_an_ablation(registry):
    cells = _cells(
        registry, matchers=("wasserstein", "cross_entropy"), regularizers=("pcbn", "bn"),
        reference=False,
    )  # fmt: skip
    assert [c.method for c in cells] == [
        "wasserstein + class_batch_norm", "wasserstein + batch_norm",
        "cross_entropy + class_batch_norm", "cross_entropy + batch_norm",
    ]  # fmt: skip
    assert all(c.recipe.card.claims for c in cells)
    # SRe2L and CDA have the last one's losses, in a loop of their own.
    sources = {claim.source for claim in cells[-1].recipe.card.claims}
    assert sources == {"WMDD paper, Table 4"}


def test_variants_have_names_of_their_own(registry):
    twice = (Variant(name="a", matcher="mean"), Variant(name="a", matcher="mmd"))
    with pytest.raises(DDBenchError, match="2 variants are called 'a'"):
        _cells(registry, variants=twice)


def test_a_recipe_that_fails_stops_no_other(registry):
    def broken(info, ipc):
        raise KeyError("lr")

    recipes = {**registry.parts["recipe"], "theirs": broken}
    registry = replace(registry, parts={**registry.parts, "recipe": recipes})
    with pytest.warns(DDBenchWarning, match="'theirs' failed for digits: KeyError: 'lr'"):
        assert {c.method for c in _cells(registry)} == {"wmdd", "random", "full"}
    with pytest.raises(DDBenchError, match="the recipe 'theirs' failed for digits"):
        _cells(registry, methods=("theirs",))


def test_a_variant_that_changes_nothing_is_an_error(registry):
    same = Variant(name="same", set={"recover.clamp": "true"})
    with pytest.raises(DDBenchError, match="'same' changes nothing against 'base'"):
        _cells(registry, variants=(Variant(name="base"), same))


@pytest.mark.parametrize(
    ("choices", "problem", "hint"),
    [
        ({"methods": ("wmd",)}, "unknown method 'wmd'", "'wmdd'"),
        ({"datasets": ("digit",)}, "unknown data set 'digit'", "'digits'"),
        ({"students": ("resnet81",)}, "unknown architecture 'resnet81'", "'resnet18'"),
        ({"matchers": ("mdd",)}, "unknown matcher 'mdd'", "'mmd'"),
        ({"regularizers": ("pcnb",)}, "unknown regularizer 'pcnb'", "'pcbn'"),
        ({"labels": ("hardd",)}, "unknown labeller 'hardd'", "'hard'"),
        ({"protocols": ("ddbench-v2",)}, "unknown protocol 'ddbench-v2'", "'ddbench-v1'"),
        ({"ipcs": (0,)}, "--ipc 0 is out of range", ""),
        ({"seeds": 0}, "--seeds 0 is out of range", ""),
        ({"holdout": 1.5}, "--holdout 1.5 is out of range", ""),
        ({"datasets": ("digits@big",)}, "cannot read the resolution", "digits@64"),
        ({"datasets": ("imagenette",)}, "data set 'imagenette' needs its images", "--data-root"),
        ({"datasets": ("folder:/nowhere",)}, "/nowhere", ""),
        ({"protocols": ("missing.toml",)}, "no file missing.toml", ""),
    ],
)
def test_mistakes_are_named(registry, choices, problem, hint):
    with pytest.raises(DDBenchError) as caught:
        _cells(registry, **choices)
    assert problem in str(caught.value)
    assert hint in caught.value.hint


def test_holding_out_leaves_the_test_data_alone(registry):
    plans = expand(Selection(seeds=1, holdout=0.2, reference=False), registry, None)
    (whole,) = expand(Selection(seeds=1, reference=False), registry, None)
    held = plans[0].info
    assert sum(held.train_counts) + sum(held.test_counts) == sum(whole.info.train_counts)
    assert held.fingerprint != whole.info.fingerprint
