"""Seeds are functions of a root and of names, the same on every machine and in every version."""

from __future__ import annotations

import torch

from ddbench.runtime.seeds import derive_seed, make_generator


def test_seeds_are_those_of_the_first_release() -> None:
    """Artifacts of older versions stay what the same command would make."""
    assert derive_seed(0, "recover", "group", 3) == 6001121651600798503
    assert derive_seed(1) == 3874038210105081456


def test_every_name_counts_and_seeds_fit_into_63_bits() -> None:
    seeds = {
        derive_seed(root, *names)
        for root in (0, 1, 2**63 - 1)
        for names in ((), ("a",), ("b",), ("a", 1), ("a", 2), ("a", 1, "b"))
    }
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_the_same_names_draw_the_same() -> None:
    one, other = (torch.rand(5, generator=make_generator(3, "x", 1)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.rand(5, generator=make_generator(3, "x", 2)))
