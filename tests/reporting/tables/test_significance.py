"""Tables of certainty: intervals, corrected tests, ranks with ties."""

from __future__ import annotations

import pytest

from ddbench.api.record import Record
from ddbench.reporting.tables import choose_certainty_views
from ddbench.reporting.tables.statistics import correct_by_holm


def record(method, top1, seed=0, ipc=1, **changes) -> Record:
    fields = {
        "key": f"{method}-{seed}-{ipc}", "status": "ok", "method": method, "dataset": "digits",
        "ipc": ipc, "teacher": "resnet18", "student": "resnet18", "labels": "fkd",
        "protocol": "v1", "seed": seed, "baseline": method in ("random", "full"),
        "metrics": [{"top1": top1}], "units": {"top1": "%"},
        "configuration": {"method": method},
    }  # fmt: skip
    return Record(**(fields | changes))


def numbers(view):
    return {
        row.cells[0].text: {k: v for c in row.cells for k, v in c.numbers.items()}
        for row in view.rows
    }


# -- views -----------------------------------------------------------------------------------------

SEEDS = range(6)
GRID = [
    *(record(m, base + jitter * (s % 3) + 0.1 * s, s, ipc)
      for m, base, jitter in (("wmdd", 70, 0.5), ("sre2l", 70.3, 0.1), ("random", 40, 0.2))
      for s in SEEDS for ipc in (1, 10)),
    record("full", 95, ipc=None),
    *(record("dm", 55 + s, s) for s in SEEDS),
]  # fmt: skip


def test_rows_that_no_test_tells_apart_share_their_ranks():
    found = numbers(choose_certainty_views(GRID)[0])
    assert (found["wmdd"]["rank_first"], found["wmdd"]["rank_last"]) == (1, 2)
    assert (found["sre2l"]["rank_first"], found["sre2l"]["rank_last"]) == (1, 2)
    assert found["random"]["rank_first"] == found["random"]["rank_last"]
    assert "full" not in found
    row = found["wmdd"]
    assert row["n"] == len(SEEDS)
    assert row["t_low"] < row["bootstrap_low"] < row["top1_mean"] < row["bootstrap_high"]


def test_every_pair_is_tested_and_corrected():
    (view,) = [v for v in choose_certainty_views(GRID) if v.title.startswith("Paired")]
    first = list(view.sections[0].rows)
    assert len(first) == 6  # of four methods at IPC 1
    cells = [{k: v for c in row.cells for k, v in c.numbers.items()} for row in first]
    assert [c["p_holm"] for c in cells] == pytest.approx(correct_by_holm([c["p"] for c in cells]))


def test_average_ranks_leave_out_who_lacks_a_cell_and_say_so():
    (view,) = [v for v in choose_certainty_views(GRID) if v.title.startswith("Average")]
    found = numbers(view)
    assert set(found) == {"wmdd", "sre2l", "random"}
    assert found["random"]["average_rank"] == 3
    assert any("dm" in remark for remark in view.remarks)
