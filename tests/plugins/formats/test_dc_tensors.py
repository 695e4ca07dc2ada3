"""Files of DC, DSA and DM: what they say of themselves."""

from __future__ import annotations

import pytest
import torch

from ddbench.api.distilled_set import check_set
from ddbench.api.errors import DDBenchError
from ddbench_plugins.formats.dc_tensors import DCTensors
from tests.doubles.released_files import released


def test_a_file_of_dm_says_what_it_is(tmp_path):
    path = tmp_path / "res_DM_CIFAR10_ConvNet_2ipc.pt"
    images, labels = released(path)
    found = check_set(DCTensors(experiment=1).read(path), path)
    assert torch.equal(found.images, images)
    assert torch.equal(found.labels, labels)
    assert found.pixels == "normalised"
    assert (found.mean[0], found.std[2]) == (0.4914, 0.2010)
    assert found.card == {"method": "dm", "dataset": "cifar10", "student": "convnet3",
                          "labels": "hard", "protocol": "dc"}  # fmt: skip
    assert not DCTensors().read(path).images.any()


def test_a_tensor_that_repeats_itself_does_not_fill_memory(tmp_path):
    path = tmp_path / "res.pt"
    huge = torch.zeros(1).expand(10**6, 3, 1000, 1000)
    torch.save({"data": [[huge, torch.zeros(1)]]}, path)
    with pytest.raises(DDBenchError, match="images claims 12000000000000 bytes in a file of"):
        DCTensors().read(path)
