"""recover without a teacher: fresh networks, real batches, images kept as they are; the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.api.recipe import Augmentation
from ddbench.api.types import DatasetInfo
from ddbench.config.grid import Selection, expand
from ddbench.data.real import RealData
from ddbench.pipeline.plan import plan
from ddbench.pipeline.specs import RecoverAnew, data_key
from ddbench.pipeline.stages.problem import RecoverProblem
from ddbench.pipeline.stages.recover import recover
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench.store.keys import key_of
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.random_networks import RandomNetworks

INFO = DatasetInfo(
    name="three",
    classes=("a", "b", "c"),
    shape=(3, 8, 8),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.25, 0.3),
    train_counts=(5, 6, 7),
    test_counts=(2, 2, 2),
    fingerprint="f",
)
NETWORK = ConvNetD(depth=2, width=4)


@pytest.fixture(scope="module")
def data() -> RealData:
    labels = torch.arange(3).repeat_interleave(torch.tensor(INFO.train_counts))
    images = torch.arange(18, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    return RealData(INFO, images.contiguous(), labels, images[:6], torch.arange(6) % 3)


def problem(data: RealData, **changes: Any) -> RecoverProblem:
    told = {
        "info": INFO, "labels": torch.arange(3), "weights": torch.ones(3), "device": "cpu",
        "seed": 0, "data": data, "architecture": NETWORK,
    }  # fmt: skip
    return RecoverProblem(**{**told, **changes})


def weights(made: RecoverProblem, *names: object) -> Tensor:
    return torch.cat([p.flatten() for p in made.fresh_network(*names).module.parameters()])


def test_a_network_depends_on_seed_and_names_alone(data: RealData) -> None:
    one = weights(problem(data), "it", 3)
    torch.manual_seed(9)
    assert torch.equal(one, weights(problem(data), "it", 3))
    assert not torch.equal(one, weights(problem(data), "it", 4))
    assert not torch.equal(one, weights(problem(data, seed=1), "it", 3))


def test_a_network_can_learn(data: RealData) -> None:
    network = problem(data).fresh_network(0)
    assert network.module.training
    assert all(p.requires_grad for p in network.module.parameters())
    assert network.classifier == "classifier"


def test_a_network_must_be_asked_for(data: RealData) -> None:
    with pytest.raises(DDBenchError, match="asks for networks") as caught:
        problem(data, architecture=None).fresh_network(0)
    assert "networks" in str(caught.value.hint)


def test_a_real_batch_is_different_images_of_the_class(data: RealData) -> None:
    made = problem(data)
    batch = made.real_batch(1, 4, make_generator(0))
    levels = (batch[:, 0, 0, 0] * INFO.std[0] + INFO.mean[0]) * 255
    found = levels.round().long().tolist()
    assert len(set(found)) == 4
    assert set(found) <= set(range(5, 11))
    assert len(made.real_batch(1, 100, make_generator(0))) == 6
    assert torch.equal(batch, made.real_batch(1, 4, make_generator(0)))


class Bright(RandomNetworks):
    """Images beyond white."""

    exact: ClassVar[bool] = True

    def recover(self, problem: Any, indices: Tensor) -> Tensor:
        problem.tick()
        return torch.full((len(indices), *problem.info.shape), 9.0)


class Rounded(Bright):
    exact: ClassVar[bool] = False


def made_by(part: Any, data: RealData, cache: Cache) -> Tensor:
    spec = RecoverAnew(
        data=data_key(INFO), distiller=part, counts=(1, 1, 1), matchers=(), regularizers=(),
        seed=0, precision="fp32", architecture=NETWORK,
    )  # fmt: skip
    partial = cache.partial("recover", type(part).__name__)
    return recover(spec, data, [], partial, Context(), Meter("cpu"))[0].images


def test_exact_images_are_kept_as_they_are_and_others_as_bytes(
    data: RealData, cache: Cache
) -> None:
    found = made_by(Bright(iterations=1), data, cache)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([2.3, 2.65, 3.0]))
    assert (made_by(Rounded(iterations=1), data, cache) == 255).all()


# -- the plan --------------------------------------------------------------------------------------


def _plans(registry, **choices):
    told = {"seeds": 1, "reference": False, "methods": ("dm",), "teachers": ("convnet3",)}
    return expand(Selection(**{**told, **choices}), registry, None)


def test_hard_labels_and_fresh_networks_need_no_teacher(registry):
    (made,) = _plans(registry)
    assert [stage.stage for stage in made.stages()] == ["recover", "evaluate"]
    assert made.recover.inputs == ()
    (asked,) = _plans(registry, labels=("fkd",))
    assert [stage.stage for stage in asked.stages()] == ["squeeze", "recover", "evaluate"]
    assert asked.recover.key == made.recover.key


def test_the_architecture_and_the_precision_are_in_the_key(registry):
    one, other = _plans(registry, teachers=("convnet3", "convnet3_bn"))
    assert one.recover.key != other.recover.key
    half = plan(replace(one.cell, precision="bf16"), one.info)
    assert half.recover.key != one.recover.key
    (student,) = _plans(registry, students=("convnet3_bn",))
    assert student.recover.key == one.recover.key


def test_an_added_field_is_in_no_key_while_it_has_its_default():
    before = '[["ddbench.spec:Augmentation/1",{"crop":[0.08,1],"flip":true,"mix":"cutmix",'
    before += '"mix_alpha":1,"ratio":[0.75,1.3333333333333333]}]]'
    import hashlib

    assert key_of(Augmentation()) == hashlib.sha256(before.encode()).hexdigest()[:20]
    assert key_of(Augmentation(one_of="flip")) != key_of(Augmentation())
