"""Selections: of the class, without replacement, and what a draw depends on."""

from __future__ import annotations

import torch

from ddbench_plugins.distillers.select import RandomSelection, WholeSet
from tests.doubles.toy_problem import INFO, Toy, classes, total


def test_random_selection_is_of_the_class_without_replacement_and_repeatable() -> None:
    part, labels = RandomSelection(), classes(5, 0, 9)
    assert [group.tolist() for group in part.batches(labels)] == [[*range(5)], [*range(5, 14)]]
    problem = Toy(labels, total)
    found = torch.cat([part.recover(problem, group) for group in part.batches(labels)])
    assert len(set(found.tolist())) == 14
    assert (found % 3).tolist() == labels.tolist()
    assert sorted(found[5:].tolist()) == problem.real_indices(2).tolist()  # all that there are
    torch.manual_seed(9)
    again = torch.cat([part.recover(Toy(labels, total), g) for g in part.batches(labels)[::-1]])
    assert again[9:].tolist() == found[:5].tolist()
    problem.seed = 1
    other = part.recover(problem, torch.arange(5))
    assert other.tolist() != found[:5].tolist()


def test_random_selection_of_more_images_begins_with_those_of_fewer() -> None:
    few = RandomSelection().recover(Toy(classes(3), total), torch.arange(3))
    many = RandomSelection().recover(Toy(classes(8), total), torch.arange(8))
    assert many[:3].tolist() == few.tolist()


def test_random_selection_is_uniform() -> None:
    drawn = torch.zeros(27)
    for seed in range(600):
        problem = Toy(classes(3), total)
        problem.seed = seed
        drawn[RandomSelection().recover(problem, torch.arange(3))] += 1
    assert drawn[drawn > 0].shape == (9,)
    assert (drawn[::3] - 200).abs().max() < 60  # five standard deviations


def test_the_whole_set_is_all_of_it() -> None:
    part = WholeSet()
    counts = part.counts(INFO, None)
    assert counts == INFO.train_counts
    labels = classes(*counts)
    problem = Toy(labels, total)
    found = torch.cat([part.recover(problem, group) for group in part.batches(labels)])
    assert sorted(found.tolist()) == list(range(27))
    assert (found % 3).tolist() == labels.tolist()
