"""The page: what it says, that it loads nothing, and that no record becomes markup."""

from __future__ import annotations

import base64
import io
import re

import pandas as pd
import pytest

from ddbench.api.record import PublishedFigure, StageCost
from ddbench.reporting.report import make_page, to_html
from ddbench.reporting.report.rows import FACETS
from tests.doubles.pages import Reader, few, html_of, record

HOSTILE = '"><img src=x onerror="alert(1)"><script>alert(2)</script>{{ 7 * 7 }}\'--></style>'


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
