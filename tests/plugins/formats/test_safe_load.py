"""Files that would execute code, and truncated ones, are refused in one sentence."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench_plugins.formats._safe_load import load
from ddbench_plugins.formats.dc_tensors import DCTensors
from tests.doubles.released_files import released


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def _torch_load(path: Path) -> object:
    return torch.load(path, weights_only=False)


def _pickle_save(found: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(found, protocol=2))


def _pickle_load(path: Path) -> object:
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("save", "unsafe"), [(torch.save, _torch_load), (_pickle_save, _pickle_load)]
)
def test_a_file_that_would_execute_code_is_refused(save, unsafe, tmp_path):
    path = tmp_path / "res_DM_CIFAR10_ConvNet_1ipc.pt"
    save({"data": [[0, Harm(tmp_path / "done")]]}, path)
    with pytest.raises(DDBenchError, match=r"was refused: loading it would run \S*mkdir"):
        load(path)
    assert not (tmp_path / "done").exists()
    unsafe(path)
    assert (tmp_path / "done").exists()  # it does do harm


@pytest.mark.parametrize("kept", [0, 10, 300, 1000])
def test_a_truncated_file_is_one_sentence(kept, tmp_path):
    path = tmp_path / "res.pt"
    released(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DDBenchError, match="cannot be read") as caught:
        DCTensors().read(path)
    assert "\n" not in caught.value.problem
