"""Folders of images as SRe2L saves them, with stored views."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.testing.formats import differences, tiny_sets
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from ddbench_plugins.formats.tensor_files import DDRankingFiles


def test_the_order_of_images_does_not_bind_weights_to_others(tmp_path):
    whole = tiny_sets()["bytes"]
    names = ("images", "labels", "weights")
    turned = replace(whole, **{name: getattr(whole, name).flip(0) for name in names})
    SRe2LFolders().write(turned, tmp_path / "set")
    assert list(differences(turned.sort_by_class(), SRe2LFolders().read(tmp_path / "set"))) == []
    assert list(differences(turned, whole)) != []


def test_labels_that_contradict_the_folders_of_images_are_refused(tmp_path):
    SRe2LFolders().write(tiny_sets()["bytes"], tmp_path / "images")
    torch.save(torch.tensor([0, 0, 1, 1, 2, 2]), tmp_path / "labels.pt")
    assert DDRankingFiles().read(tmp_path).labels.tolist() == [0, 0, 1, 1, 2, 2]
    torch.save(torch.tensor([2, 2, 1, 1, 0, 0]), tmp_path / "labels.pt")
    with pytest.raises(DDBenchError, match="are not the classes of the folders of images"):
        DDRankingFiles().read(tmp_path)


def test_folders_of_another_class_order_are_refused(tmp_path):
    form, path = SRe2LFolders(), tmp_path / "set"
    form.write(tiny_sets()["bytes"], path)
    (path / "new000").rename(path / "aside")
    with pytest.raises(DDBenchError, match="folder 'aside' does not fit 3 numbered classes"):
        form.read(path)
    (path / "new001").rename(path / "new000")
    (path / "aside").rename(path / "new001")
    with pytest.raises(DDBenchError, match="named after class 1 and lies in the folder of 0"):
        form.read(path)
