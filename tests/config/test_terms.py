"""`--matcher 0.5*a[x=1]+b`: parsing, weights, and what a replaced part hands on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.api.errors import DDBenchError
from ddbench.config.terms import parse_terms, replace_matchers, replace_regularizers

names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
weights = st.none() | st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(names, weights), min_size=1, max_size=4))
def test_a_sum_is_read_back(terms):
    text = " + ".join(n if w is None else f"{w!r}*{n}" for n, w in terms)
    assert [(t.name, t.weight) for t in parse_terms(text)] == terms


def test_options_stand_in_brackets():
    (one, two) = parse_terms("2*mmd[kernel=linear,biased=false]+cross_entropy")
    assert (one.name, one.weight) == ("mmd", 2.0)
    assert one.options == (("kernel", "linear"), ("biased", "false"))
    assert two.options == ()


def test_the_plus_of_an_exponent_is_not_that_of_a_sum():
    found = parse_terms("2e+3*a+1.e+1*b+0.5*c[x=1e+2,y=a+b]+d")
    assert [(t.name, t.weight) for t in found] == [("a", 2e3), ("b", 10), ("c", 0.5), ("d", None)]
    assert found[2].options == (("x", "1e+2"), ("y", "a+b"))


@pytest.mark.parametrize("text", ["", "*a", "a[", "2*3*a", "a]["])
def test_what_is_not_a_sum_is_refused(text):
    with pytest.raises(DDBenchError, match="cannot read"):
        parse_terms(text)


@pytest.fixture
def wmdd(registry, info):
    return registry.get("recipe", "wmdd")(info, 1)


def test_another_matcher_takes_the_place(wmdd, registry):
    made = replace_matchers(wmdd, "cross_entropy+0.5*wasserstein", registry)
    assert [(t.name, t.weight) for t in made.matchers] == [
        ("cross_entropy", 1.0), ("wasserstein", 0.5),
    ]  # fmt: skip
    assert made.matchers[1].part == wmdd.matchers[0].part


def test_another_regularizer_keeps_weight_and_norm_so_that_one_thing_changes(wmdd, registry):
    made = replace_regularizers(wmdd, "bn", registry)
    (term,) = made.regularizers
    (old,) = wmdd.regularizers
    assert term.name == "batch_norm"
    assert term.weight == old.weight
    assert term.part.norm == old.part.norm
    assert term.part.first_layer == old.part.first_layer
    assert replace_regularizers(wmdd, "0.25*bn", registry).regularizers[0].weight == 0.25


def test_none_leaves_nothing(wmdd, registry):
    assert replace_regularizers(wmdd, "none", registry).regularizers == ()


def test_options_are_checked(wmdd, registry):
    with pytest.raises(DDBenchError, match="has no option 'kernl'"):
        replace_matchers(wmdd, "mmd[kernl=linear]", registry)
    with pytest.raises(DDBenchError, match="unknown matcher 'wasserstien'"):
        replace_matchers(wmdd, "wasserstien", registry)
