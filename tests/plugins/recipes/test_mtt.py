"""MTT: the authors' settings by data set and IPC."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbench.testing import tiny_info
from ddbench_plugins.recipes.mtt import mtt


@pytest.mark.parametrize(
    ("name", "pixels", "ipc", "wanted"),
    [
        ("cifar10", 32, 1, (50, 2, 2, 100, 1e-7, 0.01, 0)),
        ("cifar10", 32, 10, (30, 2, 20, 100, 1e-5, 0.001, 0)),
        ("cifar10", 32, 50, (30, 2, 40, 1000, 1e-5, 0.001, 0)),
        ("cifar100", 32, 1, (20, 3, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 10, (20, 2, 20, 1000, 1e-5, 0.01, 0)),
        ("cifar100", 32, 50, (80, 2, 40, 1000, 1e-5, 0.01, 125)),
        ("tiny_imagenet", 64, 1, (10, 2, 10, 1e4, 1e-4, 0.01, 0)),
        ("tiny_imagenet", 64, 10, (20, 2, 40, 1e4, 1e-4, 0.01, 200)),
        ("tiny_imagenet", 64, 50, (20, 2, 40, 1e4, 1e-4, 0.01, 300)),
        ("imagenette@128", 128, 1, (20, 2, 10, 1000, 1e-6, 0.01, 0)),
    ],
)
def test_the_papers_settings_are_taken(name, pixels, ipc, wanted):
    """N, M, T⁺, rates of images and of the rate, the rate, images a step."""
    part = mtt(replace(tiny_info(pixels=pixels), name=name), ipc).distiller
    told = (part.steps, part.ahead, part.latest, part.lr, part.lr_rate, part.rate)
    assert (*told, part.batch_synthetic) == wanted
    assert (part.iterations, part.momentum, part.init) == (5000, 0.5, "real")
    assert (part.experts, part.expert_lr, part.expert_batch) == (100, 0.01, 256)


def test_other_ipc_take_the_largest_that_is_not_above():
    info = replace(tiny_info(pixels=32), name="cifar100")
    assert mtt(info, 5).distiller == mtt(info, 1).distiller
