"""What held and what did not: the line below a table, by hand."""

from __future__ import annotations

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.tables import choose_views


def record(method, top1, seed, paper, source="a paper, Table 4", **changes) -> Record:
    claim = None if paper is None else PublishedFigure(value=paper, source=source, setting="224 px")
    fields = {
        "key": f"{method}-{seed}-{changes}", "status": "ok", "method": method, "dataset": "digits",
        "ipc": 10, "teacher": "resnet18", "student": "resnet18", "labels": "fkd",
        "protocol": "v1", "seed": seed, "metrics": [{"top1": top1}], "units": {"top1": "%"},
        "configuration": {"method": method}, "claim": claim,
    }  # fmt: skip
    return Record(**(fields | changes))


def lines(records):
    return [r for r in choose_views(records)[0].remarks if r.startswith("Published order")]


A = [record("a", v, s, 60.0) for s, v in enumerate((50.0, 50.2, 50.1))]
B = [record("b", v, s, 55.0) for s, v in enumerate((40.0, 40.1, 40.2))]
C = [record("c", v, s, 50.0) for s, v in enumerate((45.0, 38.0, 41.0))]


def test_pairs_that_held_and_that_did_not_are_named():
    (line,) = lines([*A, *B, *C])
    assert "2 of 3 pairs of rows held (1 with p < 0.05 after Holm)" in line
    assert line.count("did not hold: b > c;") == 0
    assert "did not hold: b > c. Measured minus published: −14.9 to −8.7 points." in line


def test_a_pair_that_is_surely_turned_says_so():
    low = [record("a", v, s, 50.0) for s, v in enumerate((50.0, 50.2, 50.1))]
    high = [record("b", v, s, 55.0) for s, v in enumerate((40.0, 40.1, 40.2))]
    (line,) = lines([*low, *high])
    assert "did not hold: b > a (p < 0.05)." in line


def test_all_held():
    (line,) = lines([*A, *B])
    assert line.startswith("Published order by accuracy: 1 of 1 pairs of rows held (1 with p")
    assert "did not" not in line


def test_tables_of_one_paper_under_one_setting_are_compared():
    elsewhere = [record("b", r.metrics[0]["top1"], r.seed, 55.0, "a paper, Table 1") for r in B]
    (line,) = lines([*A, *elsewhere])
    assert "1 of 1 pairs" in line


def test_rows_under_two_kinds_of_labels_do_not_answer_to_figures_of_one_kind():
    """Only a under hard labels would be below b under the teacher's."""
    hard = [
        record(name, top1, seed, paper, labels="hard")
        for name, paper, low in (("a", 60.0, 30.0), ("b", 55.0, 20.0))
        for seed, top1 in enumerate((low, low + 0.2, low + 0.1))
    ]
    (line,) = lines([*A, *B, *hard])
    assert "2 of 2 pairs of rows held" in line
    turned = [r.model_copy(update={"metrics": [{"top1": 10.0 + r.seed}]}) for r in hard[:3]]
    (line,) = lines([*A, *B, *turned, *hard[3:]])
    assert "1 of 2 pairs" in line
    assert "did not hold: a > b (labels hard) (p < 0.05)." in line


def test_rows_of_one_table_are_compared_however_their_settings_are_worded():
    claim = PublishedFigure(value=55, source="a paper, Table 4", setting="teacher labels")
    (line,) = lines([*A, *[r.model_copy(update={"claim": claim}) for r in B]])
    assert "1 of 1 pairs" in line


def test_figures_of_other_papers_or_settings_are_not_compared():
    foreign = [r.model_copy(update={"claim": PublishedFigure(value=10, source="another")})
               for r in B]  # fmt: skip
    assert lines([*A, *foreign]) == []
    claim = PublishedFigure(value=10, source="a paper, Table 1", setting="32 px")
    assert lines([*A, *[r.model_copy(update={"claim": claim}) for r in B]]) == []
    assert lines(A) == []
    assert lines([*A, *[r.model_copy(update={"ipc": 1}) for r in B]]) == []


def cost(seconds):
    return [StageCost(stage="recover", key="k", seconds=seconds, iteration_seconds=seconds / 10,
                      peak_bytes=int(1e9 * seconds))]  # fmt: skip


def test_costs_have_lines_and_columns_of_their_own():
    def costly(method, seconds, paper):
        published = [
            PublishedFigure(value=paper, source="Table 3", metric="iteration_seconds"),
            PublishedFigure(value=1e9 * paper, source="Table 3", metric="peak_bytes"),
        ]
        return record(method, 50.0, 0, None, costs=cost(seconds), cost_claims=published)

    records = [costly("dc", 20.0, 2.154), costly("wmdd", 1.0, 0.013)]
    assert lines(records) == [
        "Published order by time per iteration: 1 of 1 pairs of rows held.",
        "Published order by peak memory: 1 of 1 pairs of rows held.",
    ]
    view = choose_views(records)[0]
    heads = [column.name for column in view.columns]
    row = next(r for r in view.rows if r.facts["method"] == "dc")
    assert row.cells[heads.index("paper, per iter.")].text == "2.15"
    assert row.cells[heads.index("paper, peak mem.")].text == "2.2 GB"
    assert "paper, total" not in heads
    turned = [costly("dc", 1.0, 2.154), costly("wmdd", 20.0, 0.013)]
    assert "did not hold: dc > wmdd." in lines(turned)[0]
