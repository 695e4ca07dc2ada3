"""Records made up for tables, and ways to look at the views that they become."""

from __future__ import annotations

from ddbench.api.record import Record
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


def rows(view: View) -> dict[str, Row]:
    return {row.cells[0].text: row for row in view.rows}


def cell(view: View, label: str, column: str):
    place = [c.name for c in view.columns].index(column)
    return rows(view)[label].cells[place]


def numbers(row: Row) -> dict:
    return {k: v for c in row.cells for k, v in c.numbers.items()}
