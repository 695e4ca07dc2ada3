"""Files of MTT, DATM and DD-Ranking: learned labels and rates, and sidecars of other images."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ddbench.api.distilled_set import check_set
from ddbench.api.errors import DDBenchError
from ddbench.testing.formats import tiny_sets
from ddbench_plugins.formats.dc_tensors import DCTensors
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from ddbench_plugins.formats.tensor_files import DDRankingFiles, MTTFiles

MTT = MTTFiles()


def test_files_of_datm_hold_learned_labels_and_a_step_size(tmp_path):
    images, soft = torch.randn(6, 3, 8, 8), torch.randn(6, 3)
    torch.save(images, tmp_path / "images_best.pt")
    torch.save(soft, tmp_path / "labels_best.pt")
    torch.save(torch.tensor(0.0123, requires_grad=True), tmp_path / "lr_best.pt")
    found = check_set(MTT.read(tmp_path), tmp_path)
    assert torch.equal(found.soft_labels, soft)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.rate == torch.tensor(0.0123).item()
    assert found.pixels == "unknown"  # nothing says whether it was whitened
    torch.save(0.5, tmp_path / "lr_best.pt")  # as TESLA has it
    torch.save(images.sigmoid(), tmp_path / "images_best.pt")
    assert (MTT.read(tmp_path).rate, MTT.read(tmp_path).pixels) == (0.5, "unit")


def test_what_dd_ranking_takes_as_tensors_and_as_a_folder(tmp_path):
    whole = tiny_sets()["learned labels and step size"]
    DDRankingFiles().write(whole, tmp_path / "set")
    loaded = torch.load(tmp_path / "set" / "images.pt", weights_only=True)
    assert torch.equal(loaded, whole.images)  # as its evaluator takes them: nothing is normalised
    (tmp_path / "set" / "images.pt").unlink()
    (tmp_path / "set/ddbench.json").unlink()
    plain = tiny_sets()["bytes"]
    SRe2LFolders().write(plain, tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / "set" / "images")
    found = DDRankingFiles().read(tmp_path / "set")
    assert torch.equal(found.images, plain.images)
    assert torch.equal(found.soft_labels, whole.soft_labels)
    with pytest.raises(DDBenchError, match="equally many images"):
        DDRankingFiles().write(replace(plain, labels=torch.tensor([0, 0, 0, 1, 2, 2])), tmp_path)


def test_labels_of_one_1_name_their_class_in_any_order(tmp_path):
    torch.save(torch.rand(4, 1, 8, 8), tmp_path / "images_best.pt")
    rows = torch.eye(3)[torch.tensor([2, 0, 1, 2])]
    torch.save(rows, tmp_path / "labels_best.pt")
    found = check_set(MTT.read(tmp_path), tmp_path)
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert torch.equal(found.soft_labels, rows)


def test_floats_say_what_they_cannot_be(tmp_path):
    """Black is below 0 in normalised images, and nothing is as bright as a byte."""
    images, labels = torch.rand(6, 3, 8, 8), torch.arange(3).repeat_interleave(2)
    path = tmp_path / "res.pt"
    for scale, shift, pixels in ((1, 0, "unit"), (2, -1, "normalised"), (2, 0, "normalised")):
        torch.save({"data": [[images * scale + shift, labels]]}, path)
        assert DCTensors().read(path).pixels == pixels
    levels = (images * 255).round()
    levels[0, 0, 0, 0] = 255
    torch.save({"data": [[levels, labels]]}, path)
    with pytest.raises(DDBenchError, match=r"its images are floats from \d+ to 255"):
        DCTensors().read(path)
    torch.save(levels, tmp_path / "images_best.pt")
    torch.save(labels, tmp_path / "labels_best.pt")
    with pytest.raises(DDBenchError, match=r"images_best\.pt: its images are floats"):
        MTT.read(tmp_path)


def test_a_sidecar_of_other_images_is_refused(tmp_path):
    MTT.write(tiny_sets()["normalised floats"], tmp_path / "set")
    torch.save(torch.zeros(6, 3, 8, 8), tmp_path / "set" / "images_best.pt")
    with pytest.raises(DDBenchError, match=r"ddbench\.json belongs to other images"):
        MTT.read(tmp_path / "set")
    beside = tmp_path / "set/ddbench.json"
    beside.write_text(json.dumps({"images_sha256": ""}))
    with pytest.raises(DDBenchError, match=r"ddbench\.json cannot be read: KeyError"):
        MTT.read(tmp_path / "set")
