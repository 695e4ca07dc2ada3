"""DC and DSA: the papers' loops, and what sets the two apart."""

from __future__ import annotations

from dataclasses import replace

from ddbench.testing import tiny_info
from ddbench_plugins.recipes.condensation import LOOPS, dc, dsa


def test_the_papers_loops_are_taken_and_those_between_them():
    info = tiny_info(pixels=32)
    for ipc, loops in (*LOOPS.items(), (5, (1, 1)), (15, (10, 50)), (100, (50, 10))):
        distiller = dc(info, ipc).distiller
        assert (distiller.outer, distiller.inner) == loops
    assert dc(info, 10).distiller.iterations == 1000


def test_dsa_is_dc_with_augmentation_and_a_real_start():
    info = tiny_info(pixels=32)
    plain = replace(dsa(info, 10).distiller, augment="", init="noise")
    assert plain == dc(info, 10).distiller
    assert dsa(info, 10).distiller.augment
