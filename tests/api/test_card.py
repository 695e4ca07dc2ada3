"""Cards of methods: what is no card is refused, with the field that is wrong."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ddbench.api.card import MethodCard
from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Recipe
from ddbench.api.toml_files import validate

CLAIM = {"dataset": "digits", "ipc": 1, "student": "", "value": 50.0}
ORIGIN = {"settings": "all", "source": "here"}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"titel": "mine"}, "titel"),
        ({"title": 3}, "title"),
        ({"year": "2024"}, "year"),
        ({"notes": "one"}, "notes"),
        ({"claims": 3}, "claims"),
        ({"claims": [3]}, "claims.0"),
        ({"claims": [CLAIM, {**CLAIM, "value": float("nan")}]}, "claims.1.value"),
        ({"claims": [{**CLAIM, "sd": float("inf")}]}, "claims.0.sd"),
        ({"claims": [{**CLAIM, "ipc": 1.5}]}, "claims.0.ipc"),
        ({"claims": [{**CLAIM, "metric": "top5"}]}, "claims.0.metric"),
        ({"claims": [{**CLAIM, "score": 1.0}]}, "claims.0.score"),
        ({"claims": [{"dataset": "digits", "ipc": 1, "value": 50.0}]}, "claims.0.student"),
        ({"provenance": [{**ORIGIN, "source": "rumour"}]}, "provenance.0.source"),
        ({"provenance": [{**ORIGIN, "by": "me"}]}, "provenance.0.by"),
    ],
)
def test_what_is_no_card_is_refused_with_its_field(raw, field):
    assert validate(MethodCard, {"claims": [CLAIM], "provenance": [ORIGIN]}, "mine.toml")
    with pytest.raises(DDBenchError) as caught:
        validate(MethodCard, raw, "mine.toml")
    assert caught.value.problem.startswith("mine.toml ")
    assert field in f"{caught.value.problem} {caught.value.facts[0]}".replace(":", "").split()


def test_no_field_of_a_card_is_one_of_a_recipe():
    """Recipes take both, each by its name."""
    assert not {f.name for f in fields(MethodCard)} & {f.name for f in fields(Recipe)}
