"""DD-Ranking's scores against their definition, by hand and by hypothesis; and their table."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.api.record import Record
from ddbench.api.toml_files import read_protocol
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.robust_scores import augmentation_robust_score, label_robust_score
from ddbench.testing import tiny_info

FRACTION = st.floats(0, 1)
PROTOCOLS = Path(__file__).parents[3] / "plugins" / "ddbench_plugins" / "protocols"


def defined(balance):
    """The normalisation as DD-Ranking's page writes it."""
    return (math.exp(balance) - math.exp(-1)) / (math.e - math.exp(-1))


def lrs(full_hard, made_hard, made_any, random_any, **more):
    return label_robust_score(
        full_hard=full_hard, made_hard=made_hard, made_any=made_any, random_any=random_any, **more
    )


def ars(made_augmented, random_augmented, made_plain, random_plain, **more):
    return augmentation_robust_score(
        made_augmented=made_augmented,
        random_augmented=random_augmented,
        made_plain=made_plain,
        random_plain=random_plain,
        **more,
    )


def test_scores_by_hand():
    """IOR 0.20 and HLR 0.05: α = 0.075, e^0.075 = 1.07788; (1.07788 − 0.36788) / 2.35040."""
    assert lrs(0.85, 0.80, 0.70, 0.50) == pytest.approx(0.710005 / 2.350402, abs=1e-6)
    assert lrs(0.85, 0.80, 0.70, 0.50) == pytest.approx(0.302, abs=5e-4)
    assert lrs(0.90, 0.60, 0.55, 0.50) == pytest.approx(0.219, abs=5e-4)  # IOR 0.05, HLR 0.30
    assert lrs(0, 1, 1, 0) == 1
    assert lrs(1, 0, 0, 1) == 0
    assert lrs(0.5, 0.5, 0.5, 0.5) == pytest.approx(1 / (1 + math.e))  # no gain, no loss: 0.2689
    assert ars(0.7, 0.5, 0.4, 0.3) == pytest.approx(defined(0.15))
    assert ars(0.7, 0.5, 0.4, 0.3, weight=1) == pytest.approx(defined(0.2))
    assert ars(0, 1, 0, 1) == 0
    assert ars(1, 0, 1, 0) == 1


@given(FRACTION, FRACTION, FRACTION, FRACTION, FRACTION)
def test_every_score_is_in_0_to_1_and_as_defined(a, b, c, d, weight):
    label, augmentation = lrs(a, b, c, d, weight=weight), ars(a, b, c, d, weight=weight)
    assert 0 <= label <= 1
    assert 0 <= augmentation <= 1
    assert label == pytest.approx(defined(weight * (c - d) - (1 - weight) * (a - b)), abs=1e-12)
    assert augmentation == pytest.approx(
        defined(weight * (a - b) + (1 - weight) * (c - d)), abs=1e-12
    )


@given(FRACTION, FRACTION, FRACTION)
def test_random_selection_has_no_improvement_over_itself(full, hard, any_labels):
    """Its label-robust score is what its hard labels leave: the definition at IOR 0."""
    assert lrs(full, hard, any_labels, any_labels) == pytest.approx(
        defined(-0.5 * (full - hard)), abs=1e-12
    )


@given(FRACTION, FRACTION, FRACTION, FRACTION, st.floats(0.001, 0.5))
def test_better_accuracy_is_never_a_worse_score(a, b, c, d, step):
    more = min(1.0, c + step)
    assert lrs(a, b, more, d) >= lrs(a, b, c, d)
    assert lrs(a, min(1.0, b + step), c, d) >= lrs(a, b, c, d)


@pytest.mark.parametrize("place", range(4))
def test_percents_are_refused(place):
    accuracies = [0.5, 0.5, 0.5, 0.5]
    accuracies[place] = 50.0
    with pytest.raises(ValueError, match="50 is not a fraction"):
        lrs(*accuracies)
    with pytest.raises(ValueError, match="50 is not a fraction"):
        ars(*accuracies)


# -- the table -------------------------------------------------------------------------------------

AUGMENTED = {"crop": [0.08, 1], "flip": True, "mix": "cutmix"}
PLAIN = {"crop": [1, 1], "flip": False, "mix": "none"}


def record(method, top1, seed=0, labels="fkd", protocol="v1", epochs=300, **changes) -> Record:
    how = PLAIN if protocol.endswith("plain") else AUGMENTED
    training = ["T/1", {"epochs": epochs, "augmentation": ["A/1", how]}]
    recipe = {"matchers": [], "regularizers": [], "distiller": ["D/1", {"name": method}],
              "labeller": [f"{labels}/1", {}]}  # fmt: skip
    configuration = {
        "recipe": recipe,
        "protocol": ["P/1", {"name": protocol, "training": training, "holdout": 0}],
    }
    fields = {
        "key": f"{method}-{seed}-{labels}-{protocol}", "status": "ok", "method": method,
        "dataset": "digits", "ipc": None if method == "full" else 1, "teacher": "resnet18",
        "student": "resnet18", "labels": labels, "protocol": protocol, "seed": seed,
        "baseline": method in ("random", "full"), "metrics": [{"top1": top1}],
        "units": {"top1": "%"}, "configuration": configuration,
    }  # fmt: skip
    return Record(**(fields | changes))


def scores(records):
    views = [v for v in choose_views(records) if v.title.startswith("Robust scores")]
    return {
        (row.cells[0].text, row.facts["labels"], row.facts["protocol"]): {
            name: value for cell in row.cells for name, value in cell.numbers.items()
        }
        for view in views for row in view.rows
    }  # fmt: skip


GRID = [
    *(record("full", 90, s, "hard") for s in (0, 1)),
    *(record("wmdd", v, s, "hard") for s, v in enumerate((40.0, 44.0))),
    *(record("wmdd", v, s) for s, v in enumerate((70.0, 72.0))),
    *(record("random", v, s, "hard") for s, v in enumerate((35.0, 37.0))),
    *(record("random", v, s) for s, v in enumerate((50.0, 58.0))),
    *(record("wmdd", v, s, protocol="v1-plain") for s, v in enumerate((60.0, 61.0))),
    *(record("random", v, s, protocol="v1-plain") for s, v in enumerate((45.0, 46.0))),
]


def test_scores_of_a_grid_by_hand():
    found = scores(GRID)
    wmdd = found["wmdd", "fkd", "v1"]
    one = [defined(0.5 * 0.20 - 0.5 * 0.50), defined(0.5 * 0.14 - 0.5 * 0.46)]
    assert wmdd["label_robust_score_mean"] == pytest.approx(sum(one) / 2)
    assert wmdd["hard_label_recovery_mean"] == pytest.approx(48)
    assert wmdd["improvement_over_random_mean"] == pytest.approx(17)
    both = [defined(0.5 * 0.20 + 0.5 * 0.15), defined(0.5 * 0.14 + 0.5 * 0.15)]
    assert wmdd["augmentation_robust_score_mean"] == pytest.approx(sum(both) / 2)
    assert wmdd["augmentation_robust_score_n"] == 2


def test_random_images_have_the_score_of_their_definition():
    random = scores(GRID)["random", "fkd", "v1"]
    expected = [defined(-0.5 * (0.90 - 0.35)), defined(-0.5 * (0.90 - 0.37))]
    assert random["improvement_over_random_mean"] == 0
    assert random["label_robust_score_mean"] == pytest.approx(sum(expected) / 2)


def test_without_the_rows_that_a_score_needs_there_is_none():
    no_full = [r for r in GRID if r.method != "full"]
    assert "label_robust_score_mean" not in scores(no_full)["wmdd", "fkd", "v1"]
    assert "augmentation_robust_score_mean" in scores(no_full)["wmdd", "fkd", "v1"]
    no_plain = [r for r in GRID if r.protocol == "v1"]
    assert "augmentation_robust_score_mean" not in scores(no_plain)["wmdd", "fkd", "v1"]
    assert scores([r for r in GRID if r.labels == "fkd" and r.protocol == "v1"]) == {}
    assert scores([r for r in no_plain if r.method != "random"]) == {}


def test_another_budget_is_no_twin_without_augmentation():
    longer = [
        record(r.method, 60.0, r.seed, protocol="v1-plain", epochs=999)
        if r.protocol == "v1-plain" else r for r in GRID
    ]  # fmt: skip
    assert "augmentation_robust_score_mean" not in scores(longer)["wmdd", "fkd", "v1"]


def test_full_data_of_another_budget_is_no_measure_of_hard_labels():
    found = scores([*GRID, record("full", 10, 0, "hard", epochs=1, key="short")])
    assert found["wmdd", "fkd", "v1"]["hard_label_recovery_mean"] == pytest.approx(48)
    assert scores([record("full", 10, r.seed, "hard", epochs=1) if r.method == "full" else r
                   for r in GRID if r.protocol == "v1"]) == {}  # fmt: skip


def test_labels_and_trainings_stand_side_by_side():
    (view,) = [v for v in choose_views(GRID) if v.title.startswith("Labels")]
    heads = [column.name for column in view.columns]
    assert heads == ["method", "fkd, v1", "fkd, v1-plain", "hard, v1"]
    texts = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in view.rows}
    assert texts["wmdd"] == ["71.0 ± 1.4", "60.5 ± 0.7", "42.0 ± 2.8"]
    assert texts["full"][2].startswith("90.0")


@pytest.mark.parametrize("pixels", [8, 32, 64, 224])
def test_the_plain_protocol_differs_in_augmentation_only(pixels):
    info = tiny_info(pixels=pixels)
    varied, plain = (read_protocol(PROTOCOLS / f"{name}.toml", info) for name in
                     ("ddbench-v1", "ddbench-v1-plain"))  # fmt: skip
    assert plain.training.augmentation.crop == (1, 1)
    assert not plain.training.augmentation.flip
    assert plain.training.augmentation.mix == "none"
    same = replace(plain.training, augmentation=varied.training.augmentation)
    assert replace(plain, name=varied.name, training=same) == varied


def test_several_protocols_are_an_axis(ddbench, alone):
    flags = [*alone, "-m", "random", "--labels", "hard", "--no-reference", "--dry-run"]
    at = flags.index("--protocol") + 1
    flags[at] = f"{flags[at]},ddbench-v1-plain"
    assert "2 cells" in ddbench("run", *flags).out
