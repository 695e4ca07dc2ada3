"""The page holds what the records say, loads nothing, and believes no text of a record."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from ddbench.api.record import PublishedFigure, Record, StageCost
from ddbench.reporting.report import make_page, to_html
from ddbench.reporting.report.rows import FACETS

HOSTILE = '"><img src=x onerror="alert(1)"><script>alert(2)</script>{{ 7 * 7 }}\'--></style>'


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


def test_rows_say_what_the_records_say():
    page = make_page([(None, r) for r in few()])
    by = {(r.label, r.facets["IPC"].text): r for r in page.rows}
    row = by["wmdd", "1"]
    assert row.top1.text == "51.0 ± 1.0"
    assert row.top1.hint == "n = 3"
    assert row.gain.text == "+10.0"
    assert row.gap.text == "−13.8"
    assert row.stored.value == 720
    assert by["dm", "1"].top1.tone == "bad"
    assert set(row.facets) == set(FACETS)
    assert [r.label for r in page.claims] == ["wmdd"]
    text = to_html(page)
    for told in ("51.0 ± 1.0", "−13.8", "the paper, Table 1", "AMD EPYC", "oom (0/1)", "no memory"):
        assert told in text


def test_rows_of_one_name_are_told_apart_wherever_they_stand():
    claim = PublishedFigure(value=64.8, source="the paper, Table 1")
    made = [record("wmdd", top1, labels=labels, key=labels, claim=claim)
            for labels, top1 in (("fkd", 50.0), ("hard", 30.0))]  # fmt: skip
    texts = Reader(html_of(made)).texts
    # Below the name, where a narrow screen has no room for columns; and beside the claim.
    assert [texts.count(f"digits, IPC 1, {labels}") for labels in ("fkd", "hard")] == [2, 2]
    assert "digits, IPC 1" in Reader(html_of(made[:1])).texts


def test_a_row_is_found_under_the_same_address_when_seeds_are_added():
    first = make_page([(None, r) for r in few()])
    more = make_page([(None, r) for r in [*few(), record("wmdd", 55.0, 7)]])
    assert {row.id for row in first.rows} == {row.id for row in more.rows}
    assert len({row.id for row in first.rows}) == len(first.rows) == 4


def test_no_text_of_a_record_becomes_markup():
    changes = {
        "title": HOSTILE, "variant": HOSTILE, "dataset": HOSTILE, "labels": HOSTILE,
        "protocol": HOSTILE, "student": HOSTILE, "teacher": HOSTILE, "reason": HOSTILE,
        "command": HOSTILE, "given": {HOSTILE: HOSTILE}, "environment": {HOSTILE: HOSTILE},
        "configuration": {"recipe": {HOSTILE: HOSTILE}}, "created": HOSTILE, "key": HOSTILE,
        "metrics": [{"top1": 3.0, HOSTILE: 1.0}], "units": {HOSTILE: HOSTILE},
        "reports": {HOSTILE: 1.0},
        "claim": PublishedFigure(value=1, source=HOSTILE, setting=HOSTILE),
        "costs": [StageCost(stage=HOSTILE, key="k", seconds=1, device=HOSTILE, peak_bytes=1)],
    }  # fmt: skip
    made = [record(HOSTILE, 3.0, 0, **changes), record(HOSTILE, 4.0, 1, **{**changes, "key": "b"}),
            record("dm", 3.0, 0, dataset=HOSTILE, status="error", reason=HOSTILE)]  # fmt: skip
    reader = Reader(html_of(made, title=HOSTILE))
    assert sum(tag == "script" for tag, _ in reader.tags) == 1
    assert not [tag for tag, _ in reader.tags if tag == "img"]
    assert not [a for _, attrs in reader.tags for a in attrs if a.startswith("on")]
    assert any(HOSTILE in text for text in reader.texts)  # it is shown, as text
    assert "49" not in "".join(t for t in reader.texts if "alert" in t)  # nor is it a template


def test_nothing_is_loaded_from_anywhere():
    reader = Reader(html_of(few()))
    for tag, attrs in reader.tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_every_link_within_the_page_leads_somewhere():
    reader = Reader(html_of(few()))
    ids = [attrs["id"] for _, attrs in reader.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    links = [a["href"] for _, a in reader.tags if (a.get("href") or "").startswith("#")]
    assert {link[1:] for link in links} <= set(ids)


def test_the_csv_of_the_page_is_the_leaderboard():
    found = re.search(
        r'download="leaderboard.csv" href="data:text/csv[^,]*,([^"]+)"', html_of(few())
    )
    assert found
    frame = pd.read_csv(io.BytesIO(base64.b64decode(found[1])))
    row = frame[(frame.method == "wmdd") & (frame.ipc == 1)].iloc[0]
    assert row.top1_mean == 51.0


def test_pictures_are_shown_where_the_cache_holds_images_and_missed_where_not(cache):
    import torch

    images = torch.arange(4 * 3 * 8 * 8, dtype=torch.uint8).reshape(4, 3, 8, 8)
    labels = torch.tensor([0, 0, 1, 1])
    weights = torch.full((4,), 0.5)
    card = {"cost": {"seconds": 1.0}}
    cache.store("recover", "images", {"images": images, "labels": labels, "weights": weights}, card)
    made = [record("wmdd", 3.0, 0, keys={"recover": ["images"]}, ipc=2),
            record("dm", 3.0, 0, keys={"recover": ["gone"]}, ipc=2)]  # fmt: skip
    page = make_page([(None, r) for r in made], cache)
    assert [picture.title for picture in page.pictures] == ["wmdd"]
    assert page.missing == ("1 row without a picture: their images are not in the cache.",)
    (picture,) = page.pictures
    from PIL import Image

    shown = Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))
    # Two rows of two images, four times as large, with two white pixels around each.
    assert shown.size == (2 * 34 + 2, 2 * 34 + 2) == (picture.width, picture.height)
    red, green, blue = images[2, :, 0, 0].tolist()
    assert shown.getpixel((2, 36)) == (red, green, blue)


def test_pictures_keep_to_their_budget():
    import torch
    from PIL import Image

    from ddbench.reporting.report.images import PICTURE_BYTES, _encode

    noise = torch.randint(256, (660, 660, 3), generator=torch.Generator().manual_seed(0))
    source = _encode(Image.fromarray(noise.to(torch.uint8).numpy()))
    assert source.startswith("data:image/webp")
    assert len(base64.b64decode(source.partition(",")[2])) < 2.5 * PICTURE_BYTES


def test_the_command_writes_a_page_and_refuses_an_empty_folder(ddbench, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    done = ddbench("report", "--records", folder, "-o", tmp_path / "r.html")
    assert (done.code, "no records to report" in done.err) == (2, True)
    for made in few():
        (folder / made.file_name).write_text(made.model_dump_json())
    done = ddbench("report", "--records", tmp_path, "-o", tmp_path / "r.html", "--title", "Ours")
    assert done.code == 0, done.err
    assert "4 rows" in done.out
    text = (tmp_path / "r.html").read_text()
    assert "<h1>Ours</h1>" in text
    assert f"ddbench reproduce {folder.as_posix()}" in text
    done = ddbench("report", "--records", tmp_path / "nowhere")
    assert (done.code, "no folder" in done.err) == (2, True)


@pytest.mark.parametrize(
    "records", [few()[:1], few()[3:4], [few()[-1]]], ids=["one", "ref", "failed"]
)
def test_a_page_of_one_record(records):
    assert "1 of 1 rows" in html_of(records)
