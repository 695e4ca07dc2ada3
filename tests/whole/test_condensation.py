"""Methods without a teacher, whole commands on real digits with tiny settings."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from ddbench.store.cache import Cache
from ddbench.store.records import Records

TINY = [
    "--dataset", "digits", "--ipc", 2, "--seeds", 1, "--device", "cpu", "--precision", "fp32",
    "--no-reference", "--teacher", "convnet3", "--arch", "convnet3", "--protocol", "dc",
    "--set", "teacher.width=8", "--set", "student.width=8", "--set", "evaluate.epochs=3",
]  # fmt: skip
_LOOPS = ["recover.iterations=1", "recover.outer=2", "recover.inner=1", "recover.batch_real=8"]
SHORT = {
    "dm": ["recover.iterations=3", "recover.batch_real=8"],
    "datadam": ["recover.iterations=3", "recover.batch_real=8"],
    "dc": _LOOPS,
    "dsa": _LOOPS,
    "mtt": [
        "recover.iterations=2",
        "recover.experts=1",
        "recover.steps=2",
        "recover.latest=1",
        "recover.expert_batch=1000",
    ],
}


@pytest.mark.parametrize("method", SHORT)
def test_a_method_runs_and_runs_once(method, ddbench, tmp_path):
    words = [word for change in SHORT[method] for word in ("--set", change)]
    done = ddbench("run", "--method", method, *TINY, *words)
    assert done.code == 0, done.err
    (record,) = Records(tmp_path / "cache" / "records").all()
    assert record.status == "ok"
    stages = {stage for stage, _, _ in Cache(tmp_path / "cache").entries()}
    assert stages - {"prepare"} == {"data", "recover", "evaluate"}
    assert ("prepare" in stages) == (method == "mtt")
    again = ddbench("run", "--method", method, *TINY, *words)
    assert "0 cells computed, 1 finished before" in again.out + again.err


def test_floating_images_leave_and_come_back_as_they_are(ddbench, tmp_path):
    words = ["--set", "recover.iterations=2", "--set", "recover.init=noise"]
    assert ddbench("run", "--method", "dm", *TINY, *words).code == 0
    (record,) = Records(tmp_path / "cache" / "records").all()
    folder = tmp_path / "set"
    done = ddbench("export", record.key, folder)
    assert done.code == 0, done.err
    images = load_file(folder / "tensors.safetensors")["images"]
    assert images.dtype == torch.float32
    assert images.min() < 0 or images.max() > 1
    assert (folder / "grid.png").exists()
    protocol = tmp_path / "short.toml"
    protocol.write_text('name = "short"\n[training]\nepochs = 2\n')
    done = ddbench("eval", folder, "--protocol", protocol, "--seeds", 1, "--device", "cpu")
    assert done.code == 0, done.err
