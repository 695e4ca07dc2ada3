"""DM and DataDAM: the papers' settings."""

from __future__ import annotations

from dataclasses import replace

from ddbench.testing import tiny_info
from ddbench_plugins.distillers._gaps import AttentionGap
from ddbench_plugins.distillers.random_networks import RandomNetworks
from ddbench_plugins.recipes.distribution import datadam, dm


def test_the_papers_settings_are_taken():
    info = replace(tiny_info(pixels=32), name="cifar10")
    assert dm(info, 10).distiller == RandomNetworks()
    assert dm(info, 100).distiller.lr == 10
    high = replace(tiny_info(pixels=128), name="imagenette@128")
    part = datadam(high, 10).distiller
    assert (part.iterations, part.gap) == (8000, AttentionGap(power=4, embedding=0.02))
    assert (part.batch_real, part.lr, part.momentum, part.init) == (64, 1, 0.5, "real")
    assert datadam(info, 50).distiller.gap == AttentionGap(power=4, embedding=0.01)
    assert [datadam(info, ipc).distiller.lr for ipc in (50, 51)] == [1, 10]
    assert dm(replace(info, name="cifar100"), 100).distiller.lr == 1
