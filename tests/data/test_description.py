"""Data sets by name, with a resolution behind an @."""

from __future__ import annotations

from ddbench.data.description import find_dataset


def test_a_resolution_follows_an_at(registry):
    named = find_dataset("imagenette@64", registry)
    assert (named.name, named.part.resolution) == ("imagenette@64", 64)
    assert find_dataset("folder:/a@b/c", registry).part.path == "/a@b/c"
    assert find_dataset("folder:/a@b/c@32", registry).part.resolution == 32
