"""Tables across students and images per class."""

from __future__ import annotations

from ddbench.reporting.tables import choose_views
from tests.doubles.records import cell, record, rows


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
