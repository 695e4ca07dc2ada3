"""Figure 4: rows that share a plane, places that keep neighbours, features out of the cache."""

from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.figures import __main__ as command
from benchmarks.figures import embedding
from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.api.types import FeatureSample

pytest.importorskip("matplotlib")


def record(method, top1, seed=0, teacher="t", measured=True, **changes) -> Record:
    metrics = {"top1": top1}
    if measured:
        metrics |= {"intra_class_spread": 2.0 + seed, "inter_class_distance": 30.0}
    fields = {
        "key": f"{method}{seed}{teacher}{changes}", "status": "ok", "method": method,
        "dataset": "digits", "ipc": 10, "teacher": "resnet18", "student": "resnet18",
        "labels": "fkd", "protocol": "v1", "seed": seed, "metrics": [metrics],
        "baseline": method == "random", "keys": {"squeeze": [teacher]},
    }  # fmt: skip
    return Record(**{**fields, **changes})


def test_rows_of_one_setting_and_teacher_share_a_plane():
    records = [
        record("random", 90), record("sre2l", 40), record("wmdd", 50), record("wmdd", 52, seed=1),
        record("cda", 60, teacher="other"), record("wmdd", 70, ipc=2),
        record("dm", 99, measured=False), record("dm", 0, seed=1, status="error", metrics=[]),
    ]  # fmt: skip
    groups = embedding.group_rows(records)
    found = [[entry.name for entry in group] for group in groups]
    assert found == [["wmdd"], ["cda"], ["wmdd", "sre2l", "random"]]
    assert embedding.list_numbers(groups[2][0]) == [
        "intra-class spread 2.50 ± 0.71", "inter-class dist. 30.0 ± 0.0", "top-1 % 51.0 ± 1.4",
    ]  # fmt: skip


def test_records_that_were_not_measured_are_one_sentence():
    with pytest.raises(DDBenchError, match="class_separation"):
        embedding.group_rows([record("dm", 50, measured=False)])


def sample(made, classes, real, labels) -> FeatureSample:
    return FeatureSample(real, labels, made, classes, torch.ones(len(classes)))


def test_what_is_near_in_the_features_is_near_in_the_plane():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(12).repeat_interleave(15)
    centres = 20 * torch.randn(12, 6, generator=rng)
    real = centres[labels] + torch.randn(len(labels), 6, generator=rng)
    classes = torch.arange(12).repeat(2)
    right, wrong = centres[classes], centres[(classes + 1) % 10]
    made = embedding.embed([sample(m, classes, real, labels) for m in (right, wrong)])
    assert sorted(set(made.real_labels)) == list(range(10))
    nearest = KNeighborsClassifier(5).fit(made.real, made.real_labels)
    for (places, shown), shift in zip(made.distilled, (0, 1), strict=True):
        assert len(places) == len(shown) == 20
        assert (nearest.predict(places) == (shown + shift) % 10).all()


def test_real_images_are_spread_over_their_class_and_few(monkeypatch):
    monkeypatch.setattr(embedding, "MOST_REAL", 4)
    which = torch.tensor([0, 1] * 10, dtype=torch.bool)
    assert embedding._space_evenly(which).tolist() == [1, 5, 11, 15]
    assert embedding._space_evenly(which[:6]).tolist() == [1, 3, 5]
    assert embedding._space_evenly(which[:1]).tolist() == []


def test_the_figure_is_drawn_from_finished_artifacts(
    ddbench, tiny, cache, tmp_path, monkeypatch, capsys
):
    done = ddbench(
        "run", "--method", "random", "--no-reference", "--ipc", 2, *tiny, "-e", "class_separation"
    )
    assert done.code == 0, done.err
    assert "inter_class_distance" in done.out
    assert not set("↑↓") & set(done.out)  # neither way is better
    monkeypatch.setattr(embedding, "MOST_REAL", 10)
    before = sorted(path for *_, path in cache.entries())
    command.main("figure4", tmp_path / "drawn", cache.root / "records")
    paths = [tmp_path / "drawn" / f"figure4.{ending}" for ending in ("svg", "pdf", "png")]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    svg = paths[0].read_text()
    assert "inter-class dist." in svg
    assert "random selection" in svg
    assert sorted(path for *_, path in cache.entries()) == before  # nothing was made

    with pytest.raises(SystemExit) as stop:
        command.main("figure4", tmp_path, cache.root / "records", cache=tmp_path / "elsewhere")
    assert stop.value.code == 2
    assert "the cache lacks squeeze" in capsys.readouterr().err
