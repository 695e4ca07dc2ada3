"""Variants by two factors: which stand in a matrix, and what their tests say."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from ddbench.api.record import PublishedFigure
from ddbench.reporting.tables import choose_views
from tests.doubles.records import cell, configured, numbers, record, rows


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
