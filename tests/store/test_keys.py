"""Keys: order never matters, everything else does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.data.description import NamedDataset, describe
from ddbench.store import keys
from ddbench.store.keys import KEY_LENGTH, key_of, spell, spell_text

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)


@dataclass(frozen=True)
class Part:
    version: ClassVar[int] = 1
    rate: float = 0.1
    inner: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class Raised:
    version: ClassVar[int] = 2
    rate: float = 0.1
    inner: tuple[int, ...] = field(default=())


@given(st.dictionaries(st.text(max_size=5), values, max_size=6), st.randoms())
def test_order_of_mappings_never_matters(mapping, random):
    names = list(mapping)
    random.shuffle(names)
    assert key_of({n: mapping[n] for n in names}) == key_of(mapping)


@given(values, values)
def test_equal_exactly_when_spelt_alike(a, b):
    assert (key_of(a) == key_of(b)) == (spell_text(a) == spell_text(b))
    assert len(key_of(a)) == KEY_LENGTH


def test_every_option_counts():
    keys = {key_of(Part()), key_of(Part(rate=0.2)), key_of(Part(inner=(1,))), key_of(Raised())}
    assert len(keys) == 4


def test_a_part_is_spelt_by_path_version_and_options():
    name, options = spell(Part(rate=2.0))
    assert name.endswith(":Part/1")
    assert options == {"rate": 2, "inner": []}


def test_one_and_one_point_zero_are_the_same_value():
    assert key_of(Part(rate=1)) == key_of(Part(rate=1.0))
    assert key_of(True) != key_of(1)
    assert key_of(0.1) != key_of(0.1 + 1e-15)


def test_whole_numbers_that_no_float_holds_keep_their_last_digit():
    assert key_of(2**53) != key_of(2**53 + 1)
    assert key_of([2**53, 2**53]) != key_of([2**53, 2**53 + 1])
    assert spell(10**400) == 10**400
    assert key_of(2**53 - 1) == key_of(float(2**53 - 1))


def test_a_class_that_moves_keeps_the_name_that_keys_know():
    @dataclass(frozen=True)
    class Moved:
        identity: ClassVar[str] = "first.release:Rate"
        rate: float = 0.1

    @dataclass(frozen=True)
    class Other(Moved):
        pass

    assert spell(Moved())[0] == "first.release:Rate/1"
    assert spell(Other())[0].endswith("Other/1")
    assert not spell(Other())[0].startswith("first.release")


def test_what_has_no_stable_spelling_is_refused():
    with pytest.raises(DDBenchError, match="cannot be part of a cache key"):
        key_of(object())


@given(values, st.lists(st.integers() | st.sampled_from((2**53 - 1, 2**53, -(2**53)))))
def test_the_text_is_the_sorted_json_of_the_spelling(value, numbers):
    whole = {"tuple": (value, Part(inner=(2, 3))), "set": {3, 1}, "nested": [Raised(rate=1.0)]}
    whole["numbers"] = numbers
    assert spell_text(whole) == json.dumps(spell(whole), sort_keys=True, separators=(",", ":"))


def test_equal_parts_of_other_types_keep_their_own_text():
    """True == 1, and a text that is kept must not be taken for the other's."""
    parts = [Part(inner=(True,)), Part(inner=(1,))]
    assert parts[0] == parts[1]
    assert [spell_text(part) for part in (*parts, *parts)] == [
        json.dumps(spell(part), sort_keys=True, separators=(",", ":")) for part in (*parts, *parts)
    ]


def test_a_part_that_can_be_altered_is_spelt_anew():
    @dataclass
    class Open:
        rate: float = 0.1

    part = Open()
    before = spell_text(part)
    part.rate = 0.2
    assert spell_text(part) != before


def test_texts_are_kept_for_so_many_parts_and_no_more(monkeypatch):
    monkeypatch.setattr(keys, "_MOST_TEXTS", 3)
    keys._texts.clear()
    texts = [spell_text(Part(rate=rate)) for rate in range(10)]
    assert len(set(texts)) == 10
    assert len(keys._texts) <= 3


def test_version_and_options_of_a_data_set_are_in_its_fingerprint(info):
    class Stripes(Dataset):
        argument: ClassVar[str] = "path"
        path: str = ""
        resolution: int = 0
        noise: int = 20

        def info(self, root):
            return info

        def read(self, split, root):
            return iter(())

    class Later(Stripes):
        version: ClassVar[int] = 2

    def told(part):
        return describe(NamedDataset(name="stripes", part=part), None).fingerprint

    assert told(Stripes()) == told(Stripes(path="elsewhere", resolution=8)) == info.fingerprint
    assert len({told(Stripes()), told(Stripes(noise=90)), told(Later())}) == 3
