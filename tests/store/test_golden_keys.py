"""Keys are promises: those of five cells, and the classes that committed records spell."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ddbench.config.grid import Selection, expand
from ddbench.store.keys import identified_classes

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((Path(__file__).with_name("golden_keys.json")).read_text())
CELLS = {
    "wmdd": Selection(methods=("wmdd",)),
    "g_vbsm": Selection(methods=("g_vbsm",), ipcs=(10,)),
    "scdd": Selection(methods=("scdd",), labels=("soft",)),
    "mtt": Selection(methods=("mtt",), protocols=("dc",), labels=("hard",), students=("convnet3",)),
    "idm": Selection(methods=("idm",), precision="bf16", seed=7, runs=2),
}
"""One teacher; an ensemble; a linear probe; a preparation; mosaics without a teacher."""
SPELT = re.compile(r'"([\w.]+:[\w.]+)/\d+"')


@pytest.mark.parametrize("name", CELLS)
def test_keys_are_those_of_the_first_release(name, registry):
    (plan,) = expand(replace(CELLS[name], seeds=1, reference=False), registry, None)
    told = {"cell": plan.key, "stages": [f"{s.stage} {s.key}" for s in plan.stages()]}
    assert told == GOLDEN[name]


def test_every_class_that_a_committed_record_spells_is_found(registry):
    spelt: set[str] = set()
    for path in (ROOT / "leaderboards").rglob("records/*.json"):
        spelt |= set(SPELT.findall(path.read_text()))
    assert len(spelt) > 30
    assert not spelt - set(identified_classes(registry.packages))
