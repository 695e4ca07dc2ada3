"""SCDD: momentum contrast against closed forms, the frozen backbone, and the whole method."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, Network
from ddbench.config.grid import Selection, expand
from ddbench.config.overrides import apply
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.pipeline.stages.pretraining import FrozenBackbone, UnlabelledProblem, pretrain
from ddbench.runtime.context import Context
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.pretraining.moco import MomentumContrast, follow, info_nce, make_projection
from ddbench_plugins.recipes.scdd import scdd
from ddbench_plugins.recipes.sre2l import sre2l

PART = ConvNetD(2, 8, "batch")
FAST = MomentumContrast(epochs=2, batch_size=6, queue=8, width=4)
CTX = Context()


def rows(count: int, seed: int, width: int = 5) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=rng, dtype=torch.float64))


# -- the loss --------------------------------------------------------------------------------------


def test_without_other_keys_there_is_nothing_to_tell_apart() -> None:
    assert float(info_nce(rows(4, 0), rows(4, 1), rows(0, 2), 0.2)) == pytest.approx(0)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_of_orthogonal_keys_is_known(temperature: float) -> None:
    axes = torch.eye(5, dtype=torch.float64)
    found = info_nce(axes[:1], axes[:1], axes[1:4], temperature)
    wanted = torch.tensor(1 + 3 * 2.718281828459045 ** (-1 / temperature)).log()
    assert float(found) == pytest.approx(float(wanted), rel=1e-6)


def test_the_loss_is_its_formula_and_each_image_counts_alike() -> None:
    query, key, queue = rows(3, 0), rows(3, 1), rows(7, 2)
    total = 0.0
    for q, k in zip(query, key, strict=True):
        own = torch.exp(q @ k / 0.2)
        total -= float(torch.log(own / (own + torch.exp(queue @ q / 0.2).sum()))) / 3
    assert float(info_nce(query, key, queue, 0.2)) == pytest.approx(total, rel=1e-9)


def test_the_gradient_of_the_loss_agrees_with_finite_differences() -> None:
    query = rows(3, 0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda q: info_nce(q, rows(3, 1), rows(6, 2), 0.2), [query])


@pytest.mark.parametrize(("momentum", "wanted"), [(0.0, 4.0), (1.0, 2.0), (0.75, 2.5)])
def test_keys_follow_slowly(momentum: float, wanted: float) -> None:
    follower, leader = torch.full((2,), 2.0), torch.full((2,), 4.0, requires_grad=True)
    follow([follower], [leader], momentum)
    assert follower.tolist() == [wanted] * 2
    assert leader.tolist() == [4.0, 4.0]


# -- pretraining -----------------------------------------------------------------------------------


@pytest.fixture
def data(info: DatasetInfo) -> RealData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (18, *info.shape), generator=rng, dtype=torch.uint8)
    labels = torch.arange(3).repeat_interleave(torch.tensor(info.train_counts))
    return RealData(info, images, labels, images[:6], torch.arange(6) % 3)


def network(info: DatasetInfo) -> Network:
    return Network(build_network(PART, info, 0, CTX), "classifier")


def pretrained(data: RealData, part: MomentumContrast = FAST, seed: int = 0) -> Network:
    made = network(data.info)
    torch.manual_seed(torch.seed())  # a global stream must not matter
    pretrain(part, made, data, seed, CTX)
    return made


def test_pretraining_needs_no_labels_and_is_a_function_of_the_seed(data: RealData) -> None:
    one = pretrained(data).module.state_dict()
    others = replace(data, train_labels=data.train_labels.flip(0))
    two, three = pretrained(others).module.state_dict(), pretrained(data, seed=1).module
    assert all(torch.equal(one[name], two[name]) for name in one)
    start = network(data.info).module.state_dict()
    moved = "features.0.weight"
    assert not torch.equal(one[moved], three.state_dict()[moved])
    assert not torch.equal(one[moved], start[moved])
    assert torch.equal(one["classifier.weight"], start["classifier.weight"])
    assert not pretrained(data).module.classifier._forward_pre_hooks  # hooks are out again


def test_pretraining_ticks_as_often_as_it_says(data: RealData) -> None:
    made, ticks = network(data.info), []
    told = UnlabelledProblem(
        info=data.info, device="cpu", data=data, seed=0, ctx=CTX,
        on_tick=lambda loss: ticks.append(float(loss)),
    )  # fmt: skip
    FAST.pretrain(told, made)
    assert len(ticks) == FAST.updates(18) == 6
    assert made.module.training
    norm = made.module.features[1]
    assert int(norm.num_batches_tracked) == 6  # the look at the width does not count


def test_two_views_of_an_image_come_closer_than_those_of_others(data: RealData) -> None:
    """Coarse patterns, each unlike the others, are told apart much better than by chance."""
    losses: list[float] = []
    rng = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 256, (18, 3, 4, 4), generator=rng, dtype=torch.uint8)
    images = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    part = MomentumContrast(
        epochs=40, batch_size=6, queue=6, width=8, lr=0.03, crop=(0.9, 1.0), key_momentum=0.5,
        colour=False,
    )  # fmt: skip
    info = replace(data.info, mirror=False)
    told = UnlabelledProblem(
        info=info, device="cpu", data=replace(data, train_images=images),
        seed=0, ctx=CTX, on_tick=lambda loss: losses.append(float(loss)),
    )  # fmt: skip
    part.pretrain(told, network(info))
    chance = math.log(1 + part.queue)
    assert sum(losses[-9:]) / 9 < 0.5 * chance


def test_the_projection_is_drawn_from_the_problem(data: RealData) -> None:
    told = UnlabelledProblem(
        info=data.info, device="cpu", data=data, seed=0, ctx=CTX,
        on_tick=lambda loss: None,
    )  # fmt: skip
    first, second = (make_projection(6, 4, told).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first["2.weight"].shape == (4, 6)


def test_a_linear_probe_leaves_the_backbone_as_it_is(data: RealData) -> None:
    made = network(data.info)
    before = copy.deepcopy(made.module.state_dict())
    learner = FrozenBackbone(made).train()
    learner(torch.randn(4, *data.info.shape)).square().sum().backward()
    with_slope = {name for name, p in made.module.named_parameters() if p.grad is not None}
    assert with_slope == {"classifier.weight", "classifier.bias"}
    after = made.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # running statistics too


def test_options_out_of_range_are_refused() -> None:
    for options in ({"epochs": 0}, {"batch_size": 1}, {"temperature": 0.0}, {"key_momentum": 1.5}):
        with pytest.raises(DDBenchError, match=next(iter(options))):
            MomentumContrast(**options)


# -- the method ------------------------------------------------------------------------------------


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
