"""Cells: gains over random images under the same terms, published figures, devices."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from ddbench.api.record import PublishedFigure, StageCost
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.cells import list_devices
from tests.doubles.records import cell, configured, numbers, part, record, rows


def test_differences_are_tested_over_shared_seeds_as_scipy_does():
    rng = random.Random(2)
    ours = {seed: rng.gauss(60, 2) for seed in range(6)}
    theirs = {seed: rng.gauss(58, 2) for seed in range(2, 9)}
    view = choose_views([
        *(record("wmdd", v, s) for s, v in ours.items()),
        *(record("random", v, s) for s, v in theirs.items()),
    ])[0]  # fmt: skip
    shared = sorted(ours.keys() & theirs.keys())
    want = stats.ttest_rel([ours[s] for s in shared], [theirs[s] for s in shared])
    interval = want.confidence_interval(0.95)
    found = numbers(rows(view)["wmdd"])
    assert found["delta_random_n"] == len(shared) == 4
    assert found["delta_random_p"] == pytest.approx(want.pvalue, rel=1e-9)
    assert found["delta_random_low"] == pytest.approx(interval.low, rel=1e-9)
    assert found["delta_random_high"] == pytest.approx(interval.high, rel=1e-9)
    difference = sum(ours[s] - theirs[s] for s in shared) / 4
    assert found["delta_random"] == pytest.approx(difference, rel=1e-12)


def test_a_single_seed_has_no_spread():
    view = choose_views([record("wmdd", 51.26), record("random", 50)])[0]
    assert cell(view, "wmdd", "top-1").text == "51.3 (n=1)"
    assert cell(view, "wmdd", "Δ random").text == "+1.3"
    assert "p" not in [c.name for c in view.columns]
    assert numbers(rows(view)["wmdd"])["top1_sd"] is None


def test_what_is_shown_as_no_difference_is_not_called_below():
    for gap, notes in ((0.04, 0), (0.06, 1)):
        view = choose_views([record("wmdd", 50 - gap), record("random", 50)])[0]
        assert len(cell(view, "wmdd", "Δ random").notes) == notes


def test_labels_are_compared_with_random_images_under_the_same_labels():
    made = [
        record(m, top1 + s * s, s, labels=labels)
        for m, labels, top1 in (("wmdd", "hard", 30), ("random", "hard", 20),
                                ("wmdd", "fkd", 50), ("random", "fkd", 65))
        for s in range(3)
    ]  # fmt: skip
    view = choose_views(made)[0]
    found = {(r.facts["labels"], r.facts["method"]): numbers(r) for r in view.rows}
    assert found["hard", "wmdd"]["delta_random"] == 10
    assert found["fkd", "wmdd"]["delta_random"] == -15
    assert [s.title for s in view.sections] == ["labels fkd", "labels hard"]
    assert "below random images with the same labels; too few shared seeds to test" in view.notes


def test_random_images_of_another_teacher_or_temperature_are_no_reference():
    warm = configured(labeller=part("FKD", temperature=4))
    for change in ({"keys": {"squeeze": ["other"]}}, {"configuration": warm}):
        view = choose_views([
            record("wmdd", 50, keys={"squeeze": ["one"]}, configuration=configured(x=1)),
            record("random", 40, **{"keys": {"squeeze": ["one"]}, **change}),
        ])[0]  # fmt: skip
        delta = cell(view, "wmdd", "Δ random")
        assert delta.text == "–"
        assert "to compare with" in view.notes[delta.notes[0]]


def test_published_figures_name_their_source():
    claim = PublishedFigure(value=64.8, sd=0.4, source="the paper, Table 1", setting="224 px")
    view = choose_views([record("wmdd", 50, claim=claim), record("random", 40)])[0]
    paper = cell(view, "wmdd", "paper")
    assert paper.text == "64.8 ± 0.4"
    assert view.notes[paper.notes[0]] == "published: the paper, Table 1; 224 px"
    assert "paper" not in [c.name for c in choose_views([record()])[0].columns]


def test_a_machine_has_one_name_whatever_the_record_calls_it():
    records = [
        record("a", costs=[StageCost(stage="s", key="k", seconds=1, device="CPU, 1 thread")]),
        record("b", costs=[StageCost(stage="s", key="k", seconds=1, device="CPU, 1 threads")]),
        record("c", costs=[StageCost(stage="s", key="k", seconds=1, device="CPU, 2 threads")]),
    ]
    assert list_devices(gather(records)) == ["CPU, 1 thread", "CPU, 2 threads"]
