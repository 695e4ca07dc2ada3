"""Cards of methods: files that are read as they say, and refused in one sentence."""

from __future__ import annotations

import pytest

from ddbench.api.card import Claim, MethodCard, Provenance, read_card
from ddbench.api.errors import DDBenchError

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
    assert read_card(tmp_path / "mine.toml") == MethodCard(
        title="mine",
        year=2024,
        notes=("one", "two"),
        claims=(
            Claim(
                dataset="cifar10", ipc=1, student="resnet18", value=20.5, sd=0.5, source="Table 1"
            ),
            Claim(
                dataset="cifar10",
                ipc=10,
                student="resnet18",
                value=50.0,
                source="Table 1",
                metric="total_seconds",
            ),
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


def test_a_file_is_read_once(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    first = read_card(path)
    path.unlink()
    assert read_card(path) is first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('titel = "mine"', "wrong field 'titel'"),
        ("title = 3", "wrong field 'title'"),
        ('year = "2024"', "wrong field 'year'"),
        ('notes = "one"', "wrong field 'notes'"),
        ("[[claims]]\ndataset = 'a'\nipc = 1\nstudent = ''\nvalue = nan", "'claims.0.value'"),
        ("[[claims]]\ndataset = 'a'\nipc = 1\nstudent = ''\nvalue = inf", "'claims.0.value'"),
        ("[[claims]]\ndataset = 'a'\nipc = 1\nvalue = 1", "'claims.0.student'"),
        ("[[claims]]\ndataset = 'a'\nipc = 1.5\nstudent = ''\nvalue = 1", "'claims.0.ipc'"),
        ("[[provenance]]\nsettings = 'a'\nsource = 'rumour'", "'provenance.0.source'"),
        ("[[provenance]]\nsettings = 'a'\nsource = 'code'\nby = 'me'", "'provenance.0.by'"),
        ("claims = 3", "'claims'"),
        ("claims = [3]", "'claims.0'"),
        ("[[claims]]\nrows = 3", "'claims.0."),
        ("title = ", "cannot read the card"),
        ("like = 'nobody'", "cannot read the card"),
        ("like = 'mine'", "wrong field 'like'"),
        ("like = 3", "cannot read the card"),
    ],
)
def test_a_wrong_card_is_refused_with_its_file_and_field(text, says, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(DDBenchError) as caught:
        read_card(tmp_path / "mine.toml")
    assert says in str(caught.value)
    assert str(tmp_path / "mine.toml") in caught.value.problem


def test_a_card_that_is_not_there(tmp_path):
    with pytest.raises(DDBenchError, match="cannot read the card"):
        read_card(tmp_path / "mine.toml")
