"""The diagram of average ranks: who is on it, and how it is written."""

from __future__ import annotations

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.reporting.render.critical_difference import write_diagram
from ddbench.reporting.tables import rank_records


def record(method, top1, seed=0, ipc=1, **changes) -> Record:
    fields = {
        "key": f"{method}-{seed}-{ipc}", "status": "ok", "method": method, "dataset": "digits",
        "ipc": ipc, "teacher": "resnet18", "student": "resnet18", "labels": "fkd",
        "protocol": "v1", "seed": seed, "baseline": method in ("random", "full"),
        "metrics": [{"top1": top1}], "units": {"top1": "%"},
        "configuration": {"method": method},
    }  # fmt: skip
    return Record(**(fields | changes))


SEEDS = range(6)


GRID = [
    *(record(m, base + jitter * (s % 3) + 0.1 * s, s, ipc)
      for m, base, jitter in (("wmdd", 70, 0.5), ("sre2l", 70.3, 0.1), ("random", 40, 0.2))
      for s in SEEDS for ipc in (1, 10)),
    record("full", 95, ipc=None),
    *(record("dm", 55 + s, s) for s in SEEDS),
]  # fmt: skip


def test_the_diagram_names_every_method_and_is_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    ranking = rank_records(GRID)
    assert ranking is not None
    for name in ("a.svg", "b.svg", "c.pdf", "d.png"):
        write_diagram(ranking, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for name in ("wmdd", "sre2l", "random", "critical difference"):
        assert name in text


def test_a_diagram_of_another_kind_is_refused(tmp_path):
    ranking = rank_records(GRID)
    assert ranking is not None
    with pytest.raises(DDBenchError, match=r"ranks\.gif") as caught:
        write_diagram(ranking, tmp_path / "ranks.gif")
    assert "ranks.svg" in caught.value.hint
