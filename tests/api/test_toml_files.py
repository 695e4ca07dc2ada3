"""TOML files as frozen values: rows of resolutions, merged tables, mistakes by their fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ddbench.api.errors import DDBenchError
from ddbench.api.toml_files import merge_tables, read_protocol, read_toml, validate
from ddbench.testing import tiny_info


@dataclass(frozen=True)
class Inner:
    width: int = 3


@dataclass(frozen=True)
class Outer:
    rate: float
    crop: tuple[float, float] = (0.5, 1.0)
    inner: Inner = field(default_factory=Inner)


def test_leaves_are_put_in_and_neither_table_is_altered():
    base, change = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}}
    assert merge_tables(base, change) == {"a": {"b": 4, "c": 2}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_an_array_may_be_a_tuple_and_a_whole_number_a_float():
    raw = {"rate": 2, "crop": [0.1, 1], "inner": {"width": 4}}
    assert validate(Outer, raw, "x") == Outer(2.0, (0.1, 1.0), Inner(4))


@pytest.mark.parametrize(
    ("raw", "problem", "fact"),
    [
        ({"rate": "2"}, "x is not a valid outer", "rate: "),
        ({}, "x is not a valid outer", "rate: is missing"),
        ({"rate": float("nan")}, "x is not a valid outer", "rate: expected a finite number"),
        ({"rate": 1, "crop": [0, float("inf")]}, "x is not a valid outer", "crop: expected a fin"),
        ({"rate": 1, "inner": {"widht": 1}}, "x has unknown fields: inner.widht", "known: inner."),
    ],
)
def test_mistakes_are_named_by_their_fields(raw, problem, fact):
    with pytest.raises(DDBenchError) as caught:
        validate(Outer, raw, "x")
    assert caught.value.problem == problem
    assert caught.value.facts[0].startswith(fact)
    assert caught.value.hint


def test_the_smallest_row_that_a_data_set_fits_under_counts(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(
        "[training]\nepochs = 1\nlr = 1\n"
        "[[resolution]]\nmax_resolution = 64\ntraining = {epochs = 4}\n"
        "[[resolution]]\nmax_resolution = 8\ntraining = {epochs = 2}\n"
    )
    read = {side: read_protocol(path, tiny_info(pixels=side)) for side in (8, 9, 64, 65)}
    assert {pixels: one.training.epochs for pixels, one in read.items()} == {
        8: 2,
        9: 4,
        64: 4,
        65: 1,
    }
    assert {(one.name, one.training.lr) for one in read.values()} == {("quick", 1.0)}


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "odd.toml").write_text("[training\n")
    for name, problem in (("odd.toml", "not valid TOML"), ("none.toml", "no file"), ("", "folder")):
        with pytest.raises(DDBenchError, match=problem):
            read_toml(tmp_path / name)
