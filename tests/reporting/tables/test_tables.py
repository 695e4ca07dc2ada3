"""Aggregation against pandas and scipy; what becomes a row, a section, a view."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.views import Row, View


def part(kind: str, **options):
    return [f"plug:{kind}/1", options]


def configured(
    *,
    matcher="wasserstein",
    regularizer="class_batch_norm",
    labeller=None,
    protocol=None,
    **options,
):
    """As `ddbench.pipeline.execute` writes it, in short."""
    return {
        "recipe": {
            "matchers": [part("MatcherTerm", name=matcher, weight=1, part=part("M"))],
            "regularizers": [part("RegularizerTerm", name=regularizer, weight=1, part=part("R"))],
            "distiller": part("Optimize", **options),
            "labeller": labeller or part("FKD", temperature=20),
        },
        "protocol": protocol or part("Protocol", epochs=300),
    }


def record(method="wmdd", top1=50.0, seed=0, **changes) -> Record:
    ok = changes.get("status", "ok") == "ok"
    fields = {
        "status": "ok", "method": method, "dataset": "digits", "ipc": 1,
        "teacher": "resnet18", "student": "resnet18", "labels": "fkd", "protocol": "v1",
        "seed": seed, "baseline": method in ("random", "full"),
        "metrics": [{"top1": top1}] if ok else [], "directions": {"top1": True},
        "units": {"top1": "%"}, "configuration": configured(method=method),
    }  # fmt: skip
    fields |= changes
    key = f"{method}-{seed}-{sorted(changes.items(), key=str)}"
    return Record(**{"key": key, **fields})


def test_a_reference_that_asks_no_teacher_stands_beside_the_rows_of_every_teacher():
    hard = {"labels": "hard", "keys": {"recover": ["r"], "evaluate": ["e"]}}
    taught = {**hard, "keys": {**hard["keys"], "squeeze": ["s"]}}
    entries = gather([
        record("wmdd", 50, teacher="a", **taught),
        record("wmdd", 60, teacher="b", **taught),
        record("random", 40, teacher="a", **hard),
        record("full", 90, ipc=None, teacher="a", **hard),
    ])  # fmt: skip
    found = {(e.name, e.setting.teacher) for e in entries}
    assert found == {(m, t) for m in ("wmdd", "random", "full") for t in "ab"}
    own = gather([
        record("wmdd", 50, teacher="b", **taught), record("random", 40, teacher="a", **taught)
    ])  # fmt: skip
    assert len(own) == 2


def rows(view: View) -> dict[str, Row]:
    return {row.cells[0].text: row for row in view.rows}


def cell(view: View, label: str, column: str):
    place = [c.name for c in view.columns].index(column)
    return rows(view)[label].cells[place]


def numbers(row: Row) -> dict:
    return {k: v for c in row.cells for k, v in c.numbers.items()}


def test_nothing_makes_no_view():
    assert choose_views([]) == []


def test_means_and_spreads_are_those_of_pandas():
    rng = random.Random(1)
    made = [record(m, rng.uniform(0, 100), seed) for m in ("wmdd", "sre2l", "random")
            for seed in range(5)]  # fmt: skip
    frame = pd.DataFrame([{"method": r.method, "top1": r.metrics[0]["top1"]} for r in made])
    expected = frame.groupby("method")["top1"].agg(["mean", "std", "sem"])
    for row in choose_views(made)[0].rows:
        found, want = numbers(row), expected.loc[row.facts["method"]]
        assert found["top1_mean"] == pytest.approx(want["mean"], rel=1e-12)
        assert found["top1_sd"] == pytest.approx(want["std"], rel=1e-12)
        assert found["top1_ci95"] == pytest.approx(want["sem"] * stats.t.ppf(0.975, 4), rel=1e-9)


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


_GRID = [
    *(record(m, 40 + 7.31 * s + i, s, dataset=d, ipc=ipc)
      for i, m in enumerate(("wmdd", "sre2l", "random")) for s in range(3)
      for d in ("digits", "imagenette@64") for ipc in (1, 10)),
    *(record("full", 90 + s, s, ipc=None) for s in range(2)),
    *(record("wmdd", 55 + s, s, ipc=10, given={"a": "1"}, configuration=configured(a=1))
      for s in range(3)),
    record("dm", status="diverged", reason="loss is not a number"),
]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.permutations(_GRID))
def test_the_order_of_records_does_not_matter(shuffled):
    assert choose_views(shuffled) == choose_views(_GRID)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_of_records_of_one_seed_the_newest_that_finished_counts(order):
    made = [
        *(record("wmdd", 10.0 * i, 0, created=f"2026-01-0{i}", key=f"k{i}") for i in range(1, 5)),
        record("wmdd", 1, 0, created="2026-02-01", status="oom", key="k8"),
        record("wmdd", 60, 1, key="k9"),
    ]
    view = choose_views([made[i] for i in order])[0]
    assert numbers(rows(view)["wmdd"])["top1_mean"] == 50
    assert any("4 older records" in text for text in view.remarks)


def test_how_a_teacher_is_trained_does_not_part_rows_that_asked_none():
    def trained(epochs, seed, **keys):
        configuration = configured()
        configuration["recipe"]["squeeze"] = part("Training", epochs=epochs)
        return record(seed=seed, configuration=configuration, keys={"recover": ["r"], **keys})

    assert len(gather([trained(8, 0), trained(18, 1)])) == 1
    assert len(gather([trained(8, 0, squeeze=["a"]), trained(18, 1, squeeze=["b"])])) == 2


def test_best_first_and_reference_rows_last():
    view = choose_views([
        record("full", 99, ipc=None), record("random", 90), record("low", 10), record("high", 80),
        record("broken", status="error", reason="no such layer"),
    ])[0]  # fmt: skip
    assert list(rows(view)) == ["high", "low", "broken", "random", "full"]
    assert [row.kind for row in view.rows] == ["entry", "entry", "failed", "reference", "reference"]
    assert [row.cells[1].strong for row in view.rows] == [True, False, False, False, False]


def test_failed_seeds_are_counted_and_explained():
    view = choose_views([
        record("wmdd", 50, 0), record("wmdd", 54, 1),
        record("wmdd", seed=2, status="oom", reason="out of memory at step 3\n  hint: halve it"),
        record("dm", seed=0, status="diverged", reason="loss is not a number"),
        record("dm", seed=1, status="diverged", reason="loss is not a number"),
    ])[0]  # fmt: skip
    partly, none = cell(view, "wmdd", "top-1"), cell(view, "dm", "top-1")
    assert partly.text == "52.0 ± 2.8 (2/3)"
    assert view.notes[partly.notes[0]] == "seed 2 oom: out of memory at step 3"
    assert none.text == "diverged (0/2)"
    assert view.notes[none.notes[0]] == "seeds 0 and 1 diverged: loss is not a number"
    facts = {row.facts["method"]: row.facts for row in view.rows}
    assert (facts["wmdd"]["status"], facts["wmdd"]["n"], facts["wmdd"]["seeds"]) == (
        "partial",
        2,
        3,
    )
    assert (facts["dm"]["status"], facts["dm"]["n"]) == ("diverged", 0)


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


def test_held_out_images_never_stand_beside_test_data():
    view = choose_views([record("wmdd", 50), record("wmdd", 60, holdout=0.2)])[0]
    assert [len(s.rows) for s in view.sections] == [1, 1]
    assert view.sections[1].title == "judged on held-out training images (20 %)"
    alone = choose_views([record("wmdd", 60, holdout=0.2)])[0]
    assert "judged on held-out training images (20 %)" in alone.subtitle


def test_given_options_tell_rows_apart_and_common_ones_are_a_remark():
    base = {"iterations": "50"}
    view = choose_views([
        record("wmdd", 50, given=base, configuration=configured(iterations=50)),
        record("wmdd", 40, given={**base, "lr": "0.5"}, configuration=configured(lr=0.5)),
        record("random", 30, given={**base, "lr": "0.5"}),
    ])[0]  # fmt: skip
    assert list(rows(view)) == ["wmdd", "wmdd, lr=0.5", "random"]
    assert "Changed against the recipe for wmdd: iterations=50." in view.remarks


def test_rows_that_only_the_configuration_tells_apart_name_the_difference():
    view = choose_views([
        record("random", 30, configuration=configured(labeller=part("FKD", temperature=20))),
        record("random", 31, configuration=configured(labeller=part("FKD", temperature=4))),
    ])[0]  # fmt: skip
    assert set(rows(view)) == {"random, labeller.temperature=20", "random, labeller.temperature=4"}


def test_one_configuration_is_one_row_under_whatever_names_it_was_run():
    view = choose_views([
        record("wmdd", 50, 0, title="WMDD"),
        record("wmdd", 52, 1, variant="wasserstein + class_batch_norm"),
    ])[0]  # fmt: skip
    assert cell(view, "WMDD", "top-1").text == "51.0 ± 1.4 (2)"


def test_a_record_of_two_leaderboards_is_one_row_under_the_methods_title():
    twice = [record("wmdd", 50, 0, title="WMDD"), record("wmdd", 50, 0, variant="layer 18")]
    for found in (twice, twice[::-1]):
        assert list(rows(choose_views(found)[0])) == ["WMDD"]


def test_all_images_stand_beside_every_ipc():
    view = choose_views([record("wmdd", 50, ipc=1), record("wmdd", 60, ipc=10),
                         record("full", 99, ipc=None)])[0]  # fmt: skip
    assert [s.title for s in view.sections] == ["IPC 1", "IPC 10"]
    assert all(s.rows[-1].facts["method"] == "full" for s in view.sections)
    assert all(s.rows[-1].facts["ipc"] is None for s in view.sections)


def test_published_figures_name_their_source():
    claim = PublishedFigure(value=64.8, sd=0.4, source="the paper, Table 1", setting="224 px")
    view = choose_views([record("wmdd", 50, claim=claim), record("random", 40)])[0]
    paper = cell(view, "wmdd", "paper")
    assert paper.text == "64.8 ± 0.4"
    assert view.notes[paper.notes[0]] == "published: the paper, Table 1; 224 px"
    assert "paper" not in [c.name for c in choose_views([record()])[0].columns]


def test_costs_and_other_metrics_become_columns():
    cost = {"key": "k", "device": "CPU, 2 threads"}
    made = [
        record("wmdd", 50, seed, metrics=[{"top1": 50, "ece": 4.0 + seed}],
               directions={"top1": True, "ece": False}, units={"top1": "%", "ece": "%"},
               image_bytes=1_228_800, label_bytes=800,
               costs=[StageCost(stage="squeeze", seconds=1000, peak_bytes=1_200_000_000, **cost),
                      StageCost(stage="recover", seconds=234 + seed, peak_bytes=5, **cost,
                                iteration_seconds=0.05 + 0.02 * seed, iteration_sd=0.003)])
        for seed in range(2)
    ]  # fmt: skip
    view = choose_views(made)[0]
    texts = {c.name: cell(view, "wmdd", c.name).text for c in view.columns}
    assert texts["ece ↓"] == "4.5 ± 0.7"
    assert texts["per iter."] == "0.0600 ± 0.0030"
    assert texts["total"] == "1,230"
    assert texts["peak mem."] == "1.2 GB"
    assert texts["stored"] == "1.2 MB + 800 B"
    assert any("resident memory" in text for text in view.remarks)


def test_several_students_make_a_table_across_architectures():
    made = [record(m, t, s, student=a) for m, t in (("wmdd", 50), ("random", 40))
            for a in ("resnet101", "resnet18", "resnet50") for s in range(2)]  # fmt: skip
    made.append(record("dm", student="resnet50", status="incompatible", reason="no BatchNorm"))
    views = {v.title.partition(":")[0]: v for v in choose_views(made)}
    table = views["Across architectures"]
    assert [c.name for c in table.columns] == ["method", "resnet18", "resnet50", "resnet101"]
    assert "teacher resnet18" in table.subtitle
    assert cell(table, "dm", "resnet50").text == "incompatible"
    assert cell(table, "dm", "resnet18").text == "–"
    assert cell(table, "wmdd", "resnet18").text == "50.0 ± 0.0"


def test_several_ipcs_make_a_grid():
    made = [record(m, t, ipc=i) for m, t in (("a", 50), ("b", 60)) for i in (10, 2)]
    views = choose_views([*made, record("full", 99, ipc=None)])
    grid = next(v for v in views if v.title.startswith("Images per class"))
    assert [c.name for c in grid.columns] == ["method", "IPC 2", "IPC 10", "all images"]
    assert list(rows(grid)) == ["b", "a", "full"]
    assert len(choose_views([record("a", ipc=1), record("full", 9, ipc=None)])) == 1


def _ablation(matchers=("wasserstein", "mmd"), regularizers=("class_batch_norm", "batch_norm")):
    rng = random.Random(3)
    for m in matchers:
        for r in regularizers:
            for seed in range(3):
                height = 40 + 9 * (r == "class_batch_norm") + 3 * (m == "wasserstein")
                yield record(
                    "wmdd", height + rng.gauss(0, 1), seed, variant=f"{m} + {r}",
                    configuration=configured(matcher=m, regularizer=r),
                    claim=PublishedFigure(value=60.7, source="paper")
                    if (m, r) == ("wasserstein", "class_batch_norm") else None,
                )  # fmt: skip


def test_variants_make_a_matrix_with_tests_of_each_factor():
    made = list(_ablation())
    views = {v.title.partition(":")[0]: v for v in choose_views(made)}
    matrix, tests = views["Matcher × regularizer"], views["What each part contributes"]
    assert [c.name for c in matrix.columns] == ["matcher", "class_batch_norm", "batch_norm"]
    assert list(rows(matrix)) == ["wasserstein", "mmd"]
    assert cell(matrix, "wasserstein", "class_batch_norm").text.endswith(" (60.7)")
    found = {
        (r.facts["first"], r.facts["second"], r.facts["under"]): numbers(r) for r in tests.rows
    }
    assert len(found) == 4

    def values(variant: str) -> list[float]:
        return [r.metrics[0]["top1"] for r in made if r.variant == variant]

    for under in ("wasserstein", "mmd"):
        want = stats.ttest_rel(
            values(f"{under} + class_batch_norm"), values(f"{under} + batch_norm")
        )
        one = found["class_batch_norm", "batch_norm", under]
        assert one["p"] == pytest.approx(want.pvalue, rel=1e-9)
        assert one["low"] == pytest.approx(want.confidence_interval().low, rel=1e-9)
        assert one["n"] == 3


def test_a_method_that_is_one_of_the_variants_stands_in_the_matrix_under_their_names():
    made = [
        r.model_copy(update={"variant": "", "title": "WMDD"})
        if r.variant == "wasserstein + class_batch_norm" else r
        for r in _ablation()
    ]  # fmt: skip
    views = {v.title.partition(":")[0]: v for v in choose_views(made)}
    assert "WMDD" in rows(views["Leaderboard"])
    assert rows(views["Matcher × regularizer"]).keys() == {"wasserstein", "mmd"}
    named = [r for r in made if not r.variant]
    assert "Matcher × regularizer" not in {v.title.partition(":")[0] for v in choose_views(named)}


def test_variants_that_differ_elsewhere_stay_out_of_the_matrix():
    odd = record("wmdd", 70, variant="faster", configuration=configured(iterations=9))
    views = {v.title.partition(":")[0]: v for v in choose_views([*_ablation(), odd])}
    assert len(list(views["Matcher × regularizer"].rows)) == 2
    assert "faster" in rows(views["Leaderboard"])


def test_levels_of_one_name_are_told_apart_by_their_options():
    made = list(_ablation(matchers=("wasserstein",)))
    heavy = configured(matcher="wasserstein", regularizer="batch_norm")
    heavy["recipe"]["regularizers"][0][1]["weight"] = 10
    made.append(record("wmdd", 44, variant="heavy", configuration=heavy))
    view = next(v for v in choose_views(made) if v.title.startswith("Matcher"))
    heads = {c.name for c in view.columns}
    assert {"batch_norm, batch_norm.weight=1", "batch_norm, batch_norm.weight=10"} <= heads


def test_a_thousand_records_keep_their_numbers():
    made = [record(f"m{i % 50}", (i * 37) % 101, i // 50) for i in range(1000)]
    view = choose_views(made)[0]
    assert len(list(view.rows)) == 50
    assert all(row.facts["n"] == 20 for row in view.rows)
    total = sum(numbers(row)["top1_mean"] for row in view.rows) / 50
    assert total == pytest.approx(math.fsum(r.metrics[0]["top1"] for r in made) / 1000)


def test_students_of_one_distilled_set_are_averaged_before_seeds():
    made = [
        record("wmdd", 0, s, metrics=[{"top1": 40.0 + s}, {"top1": 50.0 + s}]) for s in range(2)
    ]
    view = choose_views(made)[0]
    assert cell(view, "wmdd", "top-1").text == "45.5 ± 0.7 (2)"
    assert "the mean of 2 students" in view.remarks[0]
    assert gather(made)[0].collect("top1") == {0: 45.0, 1: 46.0}


def test_tables_need_no_torch():
    modules = "ddbench.reporting.tables, ddbench.reporting.render"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
