"""What the user sets and no row reads is refused; what one row reads is not."""

from __future__ import annotations

import pytest
import torch

from ddbench.errors import DDBenchError
from ddbench.execute import wanted_statistics
from ddbench.grid import Selection, Variant, expand
from ddbench_plugins.formats.normalised import DATASETS

PROBE = {"squeeze.epochs": "3"}


def _grid(registry, **choices):
    return expand(Selection(**{"seeds": 1, **choices}), registry, None)


@pytest.mark.parametrize(
    ("choices", "problem", "hint"),
    [
        ({"methods": ("dm",), "teachers": ("resnet18+convnet3",), "labels": ("hard",)},
         "--teacher resnet18+convnet3 changes nothing by convnet3", "--teacher resnet18"),
        ({"methods": ("random",), "teachers": ("resnet50",), "labels": ("hard",)},
         "--teacher resnet50 changes nothing", "leave --teacher out"),
        ({"methods": ("herding",), "teachers": ("resnet18+convnet3",), "labels": ("hard",)},
         "by convnet3", "--teacher resnet18"),
        ({"methods": ("dm",), "assignments": PROBE, "labels": ("hard",)},
         "--set squeeze.epochs changes nothing", "leave it out"),
        ({"methods": ("random",), "assignments": {"teacher.stem": "small"}, "labels": ("hard",)},
         "--set teacher.stem changes nothing", "leave it out"),
        ({"methods": ("scdd",), "assignments": {"label_squeeze.epochs": "3"}, "labels": ("hard",)},
         "--set label_squeeze.epochs changes nothing", "leave it out"),
        ({"methods": ("dm",), "assignments_for": {"dm": PROBE}, "labels": ("hard",)},
         "--set squeeze.epochs changes nothing", "leave it out"),
        ({"variants": (Variant(method="dm", set=PROBE),), "labels": ("hard",)},
         "--set squeeze.epochs changes nothing", "leave it out"),
        ({"assignments": {"evaluate.holdout": "0.2"}},
         "--set evaluate.holdout changes nothing", "leave it out"),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_refused(registry, choices, problem, hint):
    with pytest.raises(DDBenchError) as caught:
        _grid(registry, **choices)
    assert problem in str(caught.value)
    assert caught.value.hint == hint
    assert caught.value.facts[0].startswith("rows: ")


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
def test_what_a_row_reads_is_not(registry, choices):
    assert _grid(registry, **choices)


def test_a_teacher_may_be_trained_for_an_evaluator_alone(registry):
    extra = wanted_statistics({"coverage": registry.get("evaluator", "coverage")})
    assert extra
    for choice in ({"assignments": PROBE}, {"teachers": ("convnet3_bn",)}):
        choice = Selection(seeds=1, methods=("random",), labels=("hard",), **choice)
        assert expand(choice, registry, None, extra)
        with pytest.raises(DDBenchError, match="changes nothing"):
            expand(choice, registry, None)


def test_a_stored_set_says_more_than_its_judgement_reads(registry):
    choice = Selection(seeds=1, methods=("dm",), labels=("hard",), assignments=PROBE)
    assert expand(choice, registry, None, strict=False)


def test_a_teacher_that_a_stored_set_has_no_use_for_is_refused(ddbench, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "Digits", "digits")
    path = tmp_path / "res_DM_Digits_ConvNet_1ipc.pt"
    images = [[torch.randn(10, 1, 8, 8), torch.arange(10)]]
    torch.save({"data": images, "accs_all_exps": {}}, path)
    flags = ["--labels", "hard", "--teacher", "convnet3", "--seeds", 1]
    outcome = ddbench("eval", path, *flags, "--protocol", "ddbench-v1", "--device", "cpu")
    assert outcome.code == 2
    assert outcome.err.startswith("error: --teacher convnet3 changes nothing"), outcome.err
