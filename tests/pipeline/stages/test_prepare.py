"""prepare: made once, piece by piece, under a key of its own, and handed to recover."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.distiller import Preparation
from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.types import DatasetInfo
from ddbench.config.grid import Selection, expand
from ddbench.data.real import RealData
from ddbench.pipeline.plan import Plan, plan
from ddbench.pipeline.specs import Prepare, data_key
from ddbench.pipeline.stages.prepare import prepare
from ddbench.registry import Registry
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench.testing.suite import check_part
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.random_networks import RandomNetworks

INFO = DatasetInfo(
    name="two", classes=("a", "b"), shape=(3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3,
    train_counts=(3, 3), test_counts=(1, 1), fingerprint="f",
)  # fmt: skip


CALLS: list[int] = []


class Sums(Preparation):
    """The sum of a network's weights and of a class's images, a piece a class."""

    slope: float = 1.0
    fail_at: int = -1

    @property
    def pieces(self) -> int:
        return 2

    def updates(self, info: DatasetInfo) -> int:
        return 1

    def piece(self, problem: Any, number: int) -> Tensor:
        if number == self.fail_at:
            raise KeyboardInterrupt
        CALLS.append(number)
        network = problem.fresh_network("sum", number)
        weights = torch.cat([p.detach().flatten() for p in network.module.parameters()]).sum()
        drawn = torch.randn((), generator=problem.rng("noise", number))
        problem.tick(weights)
        return torch.stack([self.slope * weights, problem.real(number).sum(), drawn])


@pytest.fixture
def data() -> RealData:
    images = torch.arange(6, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    return RealData(INFO, images, labels, images[:2], torch.arange(2))


def made(part: Sums, data: RealData, cache: Cache, seed: int = 0) -> list[Tensor]:
    spec = Prepare(
        data=data_key(INFO), preparation=part, architecture=ConvNetD(1, 4), seed=seed,
        precision="fp32",
    )  # fmt: skip
    partial = cache.partial("prepare", "key")
    return list(prepare(spec, data, partial, Context(), Meter("cpu"))[0].pieces)


def test_pieces_come_in_order_and_depend_on_the_seed(data: RealData, tmp_path: Any) -> None:
    found = [made(Sums(), data, Cache(tmp_path / str(n)), seed) for n, seed in enumerate((0, 0, 1))]
    for one, same, other in zip(*found, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert one[1] == other[1]  # the images are those of the class, whatever the seed
    assert found[0][0][1] < found[0][1][1]


def test_finished_pieces_outlive_a_kill(data: RealData, cache: Cache) -> None:
    with pytest.raises(KeyboardInterrupt):
        made(Sums(fail_at=1), data, cache)
    CALLS.clear()
    found = made(Sums(), data, cache)
    assert CALLS == [1]
    assert len(found) == 2


class Diverging(Sums):
    def piece(self, problem: Any, number: int) -> Tensor:
        for _ in range(25):
            problem.tick(torch.tensor(float("nan")))
        return torch.zeros(1)


def test_a_loss_that_is_no_number_stops(data: RealData, cache: Cache) -> None:
    with pytest.raises(DivergedError, match="not finite after 25 updates, piece 1 of 2"):
        made(Diverging(), data, cache)


# -- the plan --------------------------------------------------------------------------------------


def mtt(registry: Registry, **changes: Any) -> Plan:
    told = {"seeds": 1, "reference": False, "methods": ("mtt",)}
    (found,) = expand(Selection(**told), registry, None)
    own = changes.keys() & {"steps", "experts", "latest"}
    options = {name: changes.pop(name) for name in own}
    recipe = found.cell.recipe
    recipe = replace(recipe, distiller=replace(recipe.distiller, **options))
    return plan(replace(found.cell, recipe=recipe, **changes), found.info)


def test_it_comes_before_the_images_of_those_that_have_one(registry: Registry) -> None:
    one = mtt(registry)
    assert [stage.stage for stage in one.stages()] == ["prepare", "recover", "evaluate"]
    assert one.recover.inputs == (one.prepare.key,)


def test_seeds_and_settings_share_it_but_for_its_own(registry: Registry) -> None:
    one = mtt(registry)
    for alike in ({"seed": 1}, {"steps": 3}):
        other = mtt(registry, **alike)
        assert other.prepare.key == one.prepare.key
        assert other.recover.key != one.recover.key
    for apart in ({"teacher_seed": 1}, {"experts": 3}, {"latest": 3}):
        other = mtt(registry, **apart)
        assert other.prepare.key != one.prepare.key
        assert other.recover.key != one.recover.key


# -- what a plug-in may do wrong -------------------------------------------------------------------


class Ahead(RandomNetworks):
    """Images that are made of what was prepared."""

    needs: ClassVar[frozenset[str]] = frozenset({"networks"})
    preparation: Sums = Sums()

    def recover(self, problem: Any, indices: Tensor) -> Tensor:
        problem.tick()
        return problem.prepared[0].sum().expand(len(indices), *problem.info.shape)


class Silent(Ahead):
    needs: ClassVar[frozenset[str]] = frozenset()


class Miscounted(Sums):
    def updates(self, info: DatasetInfo) -> int:
        return 2


class Unrepeatable(Sums):
    def piece(self, problem: Any, number: int) -> Tensor:
        problem.tick()
        return torch.rand(3)


def test_it_needs_networks(registry: Registry) -> None:
    (found,) = expand(Selection(seeds=1, reference=False, methods=("mtt",)), registry, None)
    cell = replace(found.cell, recipe=replace(found.cell.recipe, distiller=Silent(iterations=1)))
    with pytest.raises(DDBenchError, match="has a preparation but needs no networks"):
        plan(cell, found.info)
    assert RandomNetworks().preparation is None


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Silent(iterations=1), "a preparation without"),
        (
            Ahead(iterations=1, preparation=Miscounted()),
            "a piece calls tick 2 times, updates says 4",
        ),
        (Ahead(iterations=1, preparation=Unrepeatable()), "other numbers without those before"),
    ],
    ids=["needs", "ticks", "draws"],
)
def test_faults_are_found_by_the_conformance_suite(part: Any, said: str) -> None:
    assert any(said in problem for problem in check_part("distiller", "ahead", part))


def test_one_that_keeps_the_contract_conforms() -> None:
    assert check_part("distiller", "ahead", Ahead(iterations=1)) == []
