"""Stored views as the code of SRe2L (FKD) saves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddbench.api.distilled_set import check_set
from ddbench.api.errors import DDBenchError
from ddbench.testing.formats import differences, tiny_sets
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders


def test_stored_views_as_sre2l_saves_them(tmp_path):
    """One list a batch; the share and the box are numbers of NumPy."""
    SRe2LFolders().write(tiny_sets()["bytes"], tmp_path / "images")
    for epoch in range(2):
        folder = tmp_path / "FKD" / f"epoch_{epoch}"
        folder.mkdir(parents=True)
        for number, rows in enumerate((4, 2)):
            box = [np.int64(1), np.int64(0), np.int64(5), np.int64(6)]
            logits = torch.full((rows, 3), 10.0 * epoch + number).half()
            views = [torch.rand(rows, 4) / 2, torch.rand(rows) > 0.5, torch.randperm(rows)]
            torch.save([*views, np.float64(0.25), box, logits], folder / f"batch_{number}.tar")
    found = check_set(SRe2LFolders().read(tmp_path), tmp_path)
    views = found.views
    assert views.logits[:, :, 0].tolist() == [[0, 0, 0, 0, 1, 1], [10, 10, 10, 10, 11, 11]]
    assert views.batches == (4, 2)
    assert views.shares.tolist() == [[0.25, 0.25]] * 2
    assert views.boxes[0, 1].tolist() == [1, 0, 5, 6]
    SRe2LFolders().write(found, tmp_path / "again")
    assert list(differences(found, SRe2LFolders().read(tmp_path / "again"))) == []
    batch = tmp_path / "FKD" / "epoch_1" / "batch_1.tar"
    held = torch.load(batch, weights_only=False)
    torch.save([*held, torch.arange(2), torch.ones(2, 2, 2).int()], batch)
    with pytest.raises(DDBenchError, match="the patches of its images were shuffled"):
        SRe2LFolders().read(tmp_path)
    torch.save([*held, torch.arange(3)], batch)
    with pytest.raises(DDBenchError, match=r"a seventh thing of shape \(3,\)"):
        SRe2LFolders().read(tmp_path)
    batch.unlink()
    with pytest.raises(DDBenchError, match="epoch 1 labels 4 images in 1 batches"):
        SRe2LFolders().read(tmp_path)
