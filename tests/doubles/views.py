"""Views made up for drawing: plain texts, and a leaderboard of everything that one can show."""

from __future__ import annotations

import io

from rich.console import Console

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.render import to_terminal
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View


def printed(view: View, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(to_terminal(view))
    return out.getvalue()


def grid(texts: list[list[str]], **options) -> View:
    """A view of plain texts, the first row for the columns."""
    head, *body = texts
    return View(
        title="A & B_c: 100 %",
        columns=tuple(Column(name=h, align="right" if i else "left") for i, h in enumerate(head)),
        sections=(
            Section(rows=tuple(Row(cells=tuple(Cell(text=t) for t in row)) for row in body)),
        ),
        **options,
    )


def records() -> list[Record]:
    """Everything that a leaderboard can show, with long names and large numbers."""
    claim = PublishedFigure(value=64.8, sd=0.4, source="the paper, Table 1", setting="224 px")
    cost = {"key": "k", "device": "NVIDIA H200", "peak_bytes": 123_400_000_000}
    found = []
    for method, base in (("wasserstein + class_batch_norm", 81.5), ("random", 70.25)):
        for seed in range(3):
            found.append(Record(
                key=f"{method}{seed}", status="ok", method=method, dataset="imagenette@64", ipc=10,
                teacher="resnet18", student="resnet18", labels="fkd", protocol="v1", seed=seed,
                baseline=method == "random", claim=None if method == "random" else claim,
                metrics=[{"top1": base + seed * seed, "top5": 99.0, "ece": 12.25, "w2": 1234.5}],
                directions={"ece": False, "w2": False}, units={"top5": "%", "ece": "%"},
                costs=[StageCost(stage="recover", seconds=123_456, iteration_seconds=0.0603,
                                 iteration_sd=0.0041, **cost)],
                image_bytes=122_880_000, label_bytes=987_654,
            ))  # fmt: skip
    found.append(found[0].model_copy(update={
        "key": "f", "seed": 3, "status": "oom", "metrics": [], "costs": [], "reason": "no | memory",
    }))  # fmt: skip
    return found
