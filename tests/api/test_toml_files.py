"""TOML files as frozen values: rows of resolutions, merged tables, mistakes by their fields."""

from __future__ import annotations

from dataclasses import field

import pytest

from ddbench.api.card import Claim, MethodCard, Provenance
from ddbench.api.errors import DDBenchError
from ddbench.api.options import Options
from ddbench.api.toml_files import merge_tables, read_card, read_protocol, read_toml, validate
from ddbench.testing import tiny_info


class Inner(Options):
    width: int = 3


class Outer(Options):
    rate: float
    crop: tuple[float, float] = (0.5, 1.0)
    inner: Inner = field(default_factory=Inner)
    rows: tuple[Inner, ...] = ()


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
        ({"rate": 1, "crop": [0, float("inf")]}, "x is not a valid outer", "crop.1: expected a fi"),
        (
            {"rate": 1, "inner": {"widht": 1}},
            "x is not a valid outer",
            "inner.widht: no such field; ",
        ),
        ({"rate": 1, "rows": [{"a": 1}]}, "x is not a valid outer", "rows.0.a: no such field; "),
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


# -- cards -----------------------------------------------------------------------------------------

CARD = """
title = "mine"
year = 2024
notes = ["one", "two"]

[[claims]]
source = "Table 1"
student = "resnet18"
rows = [
  { dataset = "cifar10", ipc = 1, value = 20.5, sd = 0.5 },
  { dataset = "cifar10", ipc = 10, value = 50, metric = "total_seconds" },
]

[[claims]]
dataset = "digits"
ipc = 1
student = ""
value = 3.5

[[provenance]]
settings = "all"
source = "here"
"""


def test_a_card_is_what_its_file_says(tmp_path):
    (tmp_path / "mine.toml").write_text(CARD)
    table = {"dataset": "cifar10", "student": "resnet18", "source": "Table 1"}
    assert read_card(tmp_path / "mine.toml") == MethodCard(
        title="mine",
        year=2024,
        notes=("one", "two"),
        claims=(
            Claim(ipc=1, value=20.5, sd=0.5, **table),
            Claim(ipc=10, value=50.0, metric="total_seconds", **table),
            Claim(dataset="digits", ipc=1, student="", value=3.5),
        ),
        provenance=(Provenance(settings="all", source="here"),),
    )


def test_a_card_like_another_takes_what_it_leaves_out(tmp_path):
    (tmp_path / "mine.toml").write_text(CARD)
    (tmp_path / "other.toml").write_text('like = "mine"\ntitle = "other"\nclaims = []\n')
    mine, other = (read_card(tmp_path / f"{name}.toml") for name in ("mine", "other"))
    assert (other.title, other.claims) == ("other", ())
    assert (other.notes, other.provenance, other.year) == (mine.notes, mine.provenance, 2024)


def test_a_card_is_read_once(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    first = read_card(path)
    path.unlink()
    assert read_card(path) is first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[claims]]\nrows = 3", "claims.0: expected a table, found 3"),
        ("[[claims]]\nrows = [3]", "claims.0: expected a table, found 3"),
        ("[[claims]]\ndataset = 'a'\nipc = 1\nrows = [{value = 1}]", "claims.0.student: is miss"),
        ("title = ", "is not valid TOML"),
        ("like = 'nobody'", "no file"),
        ("like = 'mine'", "like: no such field"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(text, says, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(DDBenchError) as caught:
        read_card(tmp_path / "mine.toml")
    assert says in str(caught.value)
    assert str(tmp_path) in caught.value.problem
