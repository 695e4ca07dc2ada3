"""IDM: settings of the released commands, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.config.grid import Selection, expand
from ddbench.pipeline.recording import _bytes
from ddbench.testing import check_part, tiny_info
from ddbench_plugins.distillers._pools import FreshNetworks, TrainingQueue
from ddbench_plugins.recipes.idm import idm


@pytest.mark.parametrize(
    ("name", "pixels", "ipc", "wanted"),
    [
        ("cifar10", 32, 1, (0.5, 5, 5000, 10)), ("cifar10", 32, 10, (0.5, 30, 256, 10)),
        ("cifar10", 32, 50, (0.1, 30, 256, 10)), ("cifar100", 32, 1, (0.5, 5, 5000, 10)),
        ("cifar100", 32, 10, (0.1, 30, 256, 50)), ("cifar100", 32, 50, (0.1, 30, 256, 10)),
        ("tiny_imagenet", 64, 1, (0.5, 30, 256, 10)), ("tiny_imagenet", 64, 10, (0.5, 30, 256, 10)),
        ("tiny_imagenet", 64, 50, (0.8, 30, 256, 50)), ("imagenette", 224, 10, (3.0, 50, 128, 10)),
    ],
)  # fmt: skip
def test_settings_are_those_of_the_released_commands(name, pixels, ipc, wanted):
    """Weight of the cross-entropy, interval of the queue, real batch, steps of a network."""
    part = idm(replace(tiny_info(pixels=pixels), name=name), ipc).distiller
    queue = part.pool
    assert (part.cross_entropy, queue.interval, part.batch_real, queue.steps) == wanted
    assert (part.lr, part.momentum, part.factor, part.iterations) == (0.2, 0.5, 2, 20000)
    assert (queue.start, queue.trained, queue.most) == (3, 2, 50 if pixels == 224 else 100)
    trained = (queue.batch_size, queue.lr, queue.momentum, queue.weight_decay)
    assert trained == (256, 0.01, 0.9, 5e-4)


def test_ipc_and_bytes_count_what_is_kept_and_not_what_is_shown(registry):
    def planned(ipc: int):
        choice = Selection(methods=("idm",), ipcs=(ipc,), seeds=1, reference=False)
        return expand(choice, registry, None)[0]

    plan = planned(100)  # a class of digits has some 140 images
    assert set(plan.recover.spec.counts) == {400}
    stored = {"labels": torch.zeros(4000, dtype=torch.long), "weights": torch.zeros(4000)}
    made = SimpleNamespace(tensors=lambda: stored)
    runner = SimpleNamespace(recover=lambda plan: made, relabel=lambda plan: None)
    kept = {"image_bytes": 1000 * 64, "label_bytes": 8 * 1000, "teacher_bytes": 0}
    assert _bytes(plan, runner) == kept
    with pytest.raises(DDBenchError, match="--ipc 200 is more than class"):
        planned(200)


def test_the_contract_is_kept_and_options_out_of_range_are_refused():
    assert check_part("distiller", "idm", idm(tiny_info(), 1).distiller) == []
    with pytest.raises(DDBenchError, match="interval is 0"):
        TrainingQueue(interval=0)
    with pytest.raises(DDBenchError, match="every is 0"):
        FreshNetworks(every=0)
