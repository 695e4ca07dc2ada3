"""`ddbench list`: every part with its names, and its options where one kind is asked for."""

from __future__ import annotations

import functools
from pathlib import Path

from ddbench.cli.list import KINDS, summarise
from ddbench.registry import KINDS as KINDS_OF_PARTS


def test_every_kind_can_be_listed():
    assert set(KINDS.values()) == set(KINDS_OF_PARTS)


def test_a_kind_is_listed_with_its_options_and_what_they_may_be(ddbench, registry):
    done = ddbench("list", "evaluators")
    assert done.code == 0, done.err
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "evaluators"
    assert f"bins = {registry.get('evaluator', 'calibration_error').bins} (1 or more)" in lines
    assert "bins = " not in ddbench("list").out


def test_aliases_and_arguments_follow_a_name(ddbench):
    assert "batch_norm (bn)" in ddbench("list", "regularizers").out
    assert "folder:PATH" in ddbench("list", "datasets").out


def test_a_summary_is_the_first_line_of_a_docstring_or_the_name_of_a_file(registry):
    assert summarise(registry.parts["labeller"]["hard"]).endswith(".")
    assert "\n" not in summarise(registry.parts["labeller"]["hard"])
    assert summarise(functools.partial(print, Path("a/quick.toml"))) == "quick.toml"
    assert summarise(registry.parts["protocol"]["ddbench-v1"]) == "ddbench-v1.toml"
