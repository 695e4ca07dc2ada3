"""What the user sets and no row reads is said; what one row reads is not."""

from __future__ import annotations

import warnings

import pytest
import torch
from typer.testing import CliRunner

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.cli import app
from ddbench.config.grid import Selection, Variant, expand
from ddbench.pipeline.scoring import wanted_statistics
from ddbench_plugins.formats._normalised import DATASETS

PROBE = {"squeeze.epochs": "3"}


def _grid(registry, **choices):
    return expand(Selection(**{"seeds": 1, **choices}), registry, None)


@pytest.mark.parametrize(
    ("choices", "hint"),
    [
        ({"methods": ("dm",), "teachers": ("resnet18+convnet3",)}, "--teacher resnet18"),
        ({"methods": ("herding",), "teachers": ("resnet18+convnet3",)}, "--teacher resnet18"),
        ({"methods": ("random",), "teachers": ("resnet18+convnet3",)}, "leave --teacher out"),
    ],
)
def test_a_network_of_an_ensemble_that_nobody_reads_is_refused(registry, choices, hint):
    with pytest.raises(DDBenchError, match="convnet3: no row reads") as caught:
        _grid(registry, **choices, labels=("hard",))
    assert caught.value.hint == hint
    assert caught.value.facts[0].startswith("rows: ")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"methods": ("random",), "teachers": ("resnet50",)}, "--teacher resnet50"),
        ({"methods": ("dm",), "assignments": PROBE}, "--set squeeze.epochs"),
        ({"methods": ("random",), "assignments": {"teacher.stem": "small"}}, "--set teacher.stem"),
        (
            {"methods": ("scdd",), "assignments": {"label_squeeze.epochs": "3"}},
            "--set label_squeeze.epochs",
        ),
        ({"methods": ("dm",), "assignments_for": {"dm": PROBE}}, "--set squeeze.epochs"),
        ({"variants": (Variant(method="dm", set=PROBE),)}, "--set squeeze.epochs"),
        ({"assignments": {"evaluate.holdout": "0.2"}}, "--set evaluate.holdout"),
    ],
)
def test_what_nobody_reads_is_said(registry, choices, said):
    with pytest.warns(DDBenchWarning, match=f"{said} changes nothing: no row reads it"):
        assert _grid(registry, **choices, labels=("hard",))


@pytest.mark.parametrize(
    "choices",
    [
        # Labels ask both; a loss looks through both; fresh networks are of the one named.
        {"methods": ("dm",), "teachers": ("resnet18+convnet3",), "labels": ("fkd",)},
        {"methods": ("sre2l",), "teachers": ("resnet18+convnet3_bn",), "labels": ("hard",)},
        {"methods": ("dm",), "teachers": ("convnet3",), "labels": ("hard",)},
        {"methods": ("dm",), "assignments": {"teacher.stem": "small"}, "labels": ("hard",)},
        # One of several rows is enough.
        {"methods": ("dm", "wmdd"), "assignments": PROBE, "labels": ("hard",)},
        {"methods": ("dm",), "assignments": PROBE, "labels": ("hard", "fkd")},
        {"methods": ("random", "wmdd"), "teachers": ("convnet3_bn",), "labels": ("hard",)},
        # What says the default is no mistake.
        {"methods": ("wmdd",), "assignments": {"recover.clamp": "true"}},
        {"students": ("convnet3_bn",), "assignments": {"evaluate.holdout": "0.2"}},
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_a_row_reads_is_not(registry, choices):
    assert _grid(registry, **choices)


def test_a_teacher_may_be_trained_for_an_evaluator_alone(registry):
    extra = wanted_statistics({"coverage": registry.get("evaluator", "coverage")})
    assert extra
    for choice in ({"assignments": PROBE}, {"teachers": ("convnet3_bn",)}):
        choice = Selection(seeds=1, methods=("random",), labels=("hard",), **choice)
        with warnings.catch_warnings(action="error"):
            assert expand(choice, registry, None, extra)
        with pytest.warns(DDBenchWarning, match="changes nothing"):
            expand(choice, registry, None)


def test_a_stored_set_says_more_than_its_judgement_reads(registry):
    choice = Selection(seeds=1, methods=("dm",), labels=("hard",), assignments=PROBE)
    with warnings.catch_warnings(action="error"):
        assert expand(choice, registry, None, warn_unused=False)


def test_an_ensemble_that_a_stored_set_has_no_use_for_is_refused(ddbench, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "Digits", "digits")
    path = tmp_path / "res_DM_Digits_ConvNet_1ipc.pt"
    images = [[torch.randn(10, 1, 8, 8), torch.arange(10)]]
    torch.save({"data": images, "accs_all_exps": {}}, path)
    flags = ["--labels", "hard", "--teacher", "convnet3+resnet18", "--seeds", 1]
    outcome = ddbench("eval", path, *flags, "--protocol", "ddbench-v1", "--device", "cpu")
    assert outcome.code == 2
    assert outcome.err.startswith("error: --teacher convnet3+resnet18 changes nothing"), outcome.err


@pytest.mark.parametrize("option", ["--compile", "--checkpoint"])
@pytest.mark.parametrize(("method", "said"), [("random", True), ("dm", True), ("wmdd", False)])
def test_options_of_iterations_where_there_are_none_are_told(method, said, option, tmp_path):
    words = ["run", "-m", method, option, "--dry-run", "--cache", str(tmp_path)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert CliRunner().invoke(app, words).exit_code == 0
    assert any(f"{option} changes nothing" in str(one.message) for one in caught) == said
