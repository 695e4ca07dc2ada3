"""Committed tables are what their records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddbench import render
from ddbench.records import Records
from ddbench.tables import choose_views

FOLDERS = sorted(p for p in (Path(__file__).parents[1] / "leaderboards").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_table_is_made_from_the_records(folder):
    records = list(Records(folder / "records").all())
    assert records
    made = "\n\n".join(render.to_markdown(view).rstrip() for view in choose_views(records)) + "\n"
    assert (folder / "table.md").read_text() == made


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_were_measured_on_test_data_and_say_where(folder):
    for record in Records(folder / "records").all():
        assert record.status == "ok", record.file_name
        assert record.holdout == 0
        assert record.environment, record.file_name
        assert record.command.startswith("ddbench "), record.file_name
