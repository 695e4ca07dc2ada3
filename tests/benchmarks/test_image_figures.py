"""Figures 6 to 10: a panel for every row whose images are in the cache."""

from __future__ import annotations

import pytest
import torch

from benchmarks.figures import __main__ as command
from benchmarks.figures import image_grids
from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.pipeline.results import DistilledImages

pytest.importorskip("matplotlib")


def record(method: str, ipc: int | None = 2, seed: int = 0, **changes) -> Record:
    fields = {
        "key": f"{method}{ipc}{seed}", "status": "ok", "method": method, "dataset": "digits",
        "ipc": ipc, "teacher": "t", "student": "s", "labels": "fkd", "protocol": "v1", "seed": seed,
        "metrics": [{"top1": 50.0}], "configuration": {"classes": ["one, uno", "two"]},
    }  # fmt: skip
    return Record(**{**fields, **changes})


@pytest.fixture
def stored(monkeypatch):
    """Images of every method but `gone`, two grey levels a class."""

    def images(found: Record, store, data_root):
        if found.method == "gone":
            return None
        labels = torch.arange(2).repeat_interleave(found.ipc)
        levels = (100 + 100 * labels).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        weights = torch.ones(len(labels))
        return DistilledImages(images=levels.to(torch.uint8), labels=labels, weights=weights)

    monkeypatch.setattr(image_grids, "load_images", images)


def test_a_figure_for_every_setting_a_panel_for_every_row(stored, tmp_path, monkeypatch):
    shown = []
    drawn = image_grids.draw_panel
    monkeypatch.setattr(
        image_grids, "draw_panel", lambda axis, *given: shown.append(given) or drawn(axis, *given)
    )
    records = [
        record("wmdd"), record("wmdd", seed=1), record("random"), record("gone"),
        record("wmdd", ipc=1), record("full", ipc=None), record("bad", status="error", metrics=[]),
    ]  # fmt: skip
    paths = image_grids.draw(records, tmp_path, tmp_path)
    assert {path.name for path in paths if path.suffix == ".png"} == {
        "images-digits-ipc1.png", "images-digits-ipc2.png",
    }  # fmt: skip
    assert all(path.stat().st_size for path in paths)
    assert [len(labels) for _, labels, _ in shown] == [2, 4, 4]
    assert [bool(names) for _, _, names in shown] == [True, True, False]


def test_a_panel_shows_a_line_of_images_for_each_class_and_names_it():
    from matplotlib import pyplot

    labels = torch.arange(2).repeat_interleave(3)
    images = (50 + 100 * labels).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).to(torch.uint8)
    figure, axis = pyplot.subplots()
    image_grids.draw_panel(axis, images, labels, ["one, uno", "two"])
    pixels = axis.images[0].get_array()
    assert pixels.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    assert [text.get_text() for text in axis.get_yticklabels()] == ["one", "two"]
    for place, level in zip(axis.get_yticks(), (50, 150), strict=True):
        assert (pixels[int(place), 3] == level).all()
    pyplot.close(figure)


def test_records_without_images_are_one_sentence(stored, tmp_path):
    with pytest.raises(DDBenchError, match="the images of none"):
        image_grids.draw([record("gone")], tmp_path, tmp_path)
    with pytest.raises(DDBenchError, match="no finished records"):
        image_grids.draw([record("full", ipc=None)], tmp_path, tmp_path)


def test_the_command_knows_the_figure(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main("images", tmp_path, tmp_path, tmp_path)
    assert caught.value.code == 2
    assert "no finished records" in capsys.readouterr().err
