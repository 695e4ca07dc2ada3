"""Records made up for the page, its HTML, and a reader of that."""

from __future__ import annotations

from html.parser import HTMLParser

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.report import make_page, to_html


def record(method="wmdd", top1=50.0, seed=0, **changes) -> Record:
    fields = {
        "key": f"{method}{seed}{changes.get('ipc', 1)}{changes.get('dataset', '')}",
        "status": "ok", "method": method, "dataset": "digits", "ipc": 1, "teacher": "resnet18",
        "student": "resnet18", "labels": "fkd", "protocol": "v1", "seed": seed,
        "baseline": method in ("random", "full"), "metrics": [{"top1": top1}],
        "directions": {"top1": True}, "units": {"top1": "%"}, "image_bytes": 640,
        "label_bytes": 80, "configuration": {"recipe": {"distiller": [f"p:{method}/1", {}]}},
        "costs": [StageCost(stage="recover", key="k", seconds=60 + top1, peak_bytes=10**9)],
        "environment": {"cpu": "AMD EPYC", "packages": {"torch": "2.15.0"}},
        "command": "ddbench run",
    }  # fmt: skip
    return Record(**{**fields, **changes})


def few() -> list[Record]:
    claim = PublishedFigure(value=64.8, sd=0.4, source="the paper, Table 1", setting="224 px")
    return [
        *(record("wmdd", 50.0 + seed, seed, claim=claim) for seed in range(3)),
        *(record("random", 40.0 + seed, seed) for seed in range(3)),
        *(record("wmdd", 70.0 + seed, seed, ipc=10) for seed in range(3)),
        record("dm", 0, 0, status="oom", metrics=[], costs=[], reason="no memory"),
    ]


def html_of(records: list[Record], **options) -> str:
    return to_html(make_page([(None, r) for r in records], **options))


class Reader(HTMLParser):
    """Every tag with its attributes, and the texts that lie in no script or style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data):
        if not self.inside:
            self.texts.append(data.strip())
