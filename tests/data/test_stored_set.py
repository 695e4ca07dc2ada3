"""Stored sets as parts: keys spell them as at their first release."""

from __future__ import annotations

import pytest

from ddbench.data.stored_set import Replayed, Stored, StoredSet
from ddbench.store.keys import spell
from ddbench_plugins.labellers.fkd import FKD


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (StoredSet("a", (1, 2)), "ddbench.distilled:StoredSet/1"),
        (Stored("a"), "ddbench.distilled:Stored/1"),
        (Replayed("a", 3, FKD()), "ddbench.distilled:Replayed/1"),
    ],
)
def test_keys_know_a_stored_set_by_its_first_module(part, name):
    assert spell(part)[0] == name
