"""SCDD: the frozen backbone, the settings of the scripts, and the whole method."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, Network
from ddbench.config.grid import Selection, expand
from ddbench.config.overrides import apply
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.pipeline.stages.pretraining import FrozenBackbone
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.recipes.scdd import scdd
from ddbench_plugins.recipes.sre2l import sre2l

PART = ConvNetD(2, 8, "batch")


CTX = Context()


@pytest.fixture
def data(info: DatasetInfo) -> RealData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (18, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(3).repeat_interleave(torch.tensor(info.train_counts))
    return RealData(info, images, labels, images[:6], torch.arange(6) % 3)


def network(info: DatasetInfo) -> Network:
    return Network(build_network(PART, info, 0, CTX), "classifier")


def test_a_linear_probe_leaves_the_backbone_as_it_is(data: RealData) -> None:
    made = network(data.info)
    before = copy.deepcopy(made.module.state_dict())
    learner = FrozenBackbone(made).train()
    learner(torch.randn(4, *data.info.shape)).square().sum().backward()
    with_slope = {name for name, p in made.module.named_parameters() if p.grad is not None}
    assert with_slope == {"classifier.weight", "classifier.bias"}
    after = made.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # running statistics too


def test_for_a_fixed_teacher_the_objective_is_that_of_sre2l() -> None:
    for name, loop in (("imagenet1k", {"iterations": 1000, "batch_size": 50}), ("imagenette", {})):
        info = DatasetInfo(
            name=name, classes=("a", "b"), shape=(3, 224, 224), mean=(0.5,) * 3, std=(0.2,) * 3,
            train_counts=(9, 9), test_counts=(9, 9), fingerprint="f",
        )  # fmt: skip
        ours, theirs = scdd(info, 10), sre2l(info, 10)
        assert (ours.matchers, ours.regularizers) == (theirs.matchers, theirs.regularizers)
        assert ours.distiller == replace(theirs.distiller, **loop)
        assert ours.label_squeeze == theirs.squeeze


def test_settings_are_those_of_the_scripts() -> None:
    """CIFAR-100's script, and what the paper and the script say of ImageNet-1K."""
    small = scdd(replace(tiny_info(pixels=32), name="cifar100"), 50)
    assert isinstance(small.distiller, Optimize)
    loop = small.distiller
    assert (loop.lr, loop.iterations, loop.batch_size) == (0.4, 1000, 100)
    assert (loop.crop, loop.flip, loop.roll) == ((1.0, 1.0), False, (0, 4))
    assert [term.weight for term in small.regularizers] == [0.005]
    large = scdd(replace(tiny_info(pixels=224), name="imagenet1k"), 50)
    assert large.distiller.lr == 0.25
    assert [term.weight for term in large.regularizers] == [0.01]
    probe = large.squeeze
    assert (probe.epochs, probe.optimizer, probe.lr, probe.weight_decay) == (200, "sgd", 0.03, 0)
    told = probe.pretraining
    assert (told.lr, told.batch_size, told.temperature) == (0.03, 256, 0.2)


def test_labels_come_from_a_supervised_teacher_that_others_share(registry: Any) -> None:
    def plans(method: str, **choices: Any) -> Any:
        told = {"seeds": 1, "reference": False, "methods": (method,), **choices}
        return expand(Selection(**told), registry, None)[0]

    ours, theirs = plans("scdd"), plans("sre2l")
    assert ours.labelling[0].squeeze.key == theirs.squeeze.key != ours.squeeze.key
    assert ours.evaluate[0].inputs == (ours.recover.key, theirs.squeeze.key)
    assert list(ours.teacher_names.values()) == ["resnet18", "resnet18 (labels)"]
    assert len(plans("scdd", labels=("hard",)).teacher_names) == 1
    both = expand(Selection(seeds=1, methods=("scdd",)), registry, None)
    assert {plan.labelling[0].squeeze.key for plan in both} == {theirs.squeeze.key}
    changed = apply(ours.cell, {"squeeze.pretraining.epochs": "3", "label_squeeze.epochs": "2"})
    assert changed.recipe.squeeze.pretraining.epochs == 3
    assert changed.recipe.label_squeeze.epochs == 2
    with pytest.raises(DDBenchError, match="has no label_squeeze"):
        apply(theirs.cell, {"label_squeeze.epochs": "2"})


def test_scdd_runs_end_to_end(ddbench: Callable[..., Any], tiny: list[Any], cache: Cache) -> None:
    options = {
        "squeeze.pretraining.epochs": 2, "squeeze.pretraining.batch_size": 128,
        "squeeze.epochs": 3, "label_squeeze.epochs": 1, "recover.iterations": 3,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    done = ddbench("run", *tiny, "-m", "scdd", "--ipc", 1, "--no-reference", *words)
    assert done.code == 0, done.err
    (record,) = Records(cache.root / "records").all()
    assert record.status == "ok"
    assert record.teachers == ["convnet3_bn", "convnet3_bn (labels)"]
    assert record.reports["teacher_top1.convnet3_bn"] > 15
