"""What a distiller makes is looked at before it is kept, and so is the last loss."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ddbench.api.distiller import Preparation
from ddbench.api.errors import DDBenchError, DivergedError
from ddbench.api.roles import Pretraining
from ddbench.api.types import DatasetInfo, Network
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.pipeline.specs import Prepare, Recover, data_key
from ddbench.pipeline.stages.groups import Losses
from ddbench.pipeline.stages.prepare import prepare
from ddbench.pipeline.stages.pretraining import pretrain
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.distillers.select import RandomSelection
from ddbench_plugins.matchers.cross_entropy import CrossEntropy

INFO = DatasetInfo(
    name="two", classes=("cat", "dog"), shape=(3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3,
    train_counts=(3, 3), test_counts=(1, 1), fingerprint="f",
)  # fmt: skip
CTX = Context()
PART = ConvNetD(depth=1, width=4)


@pytest.fixture
def data() -> RealData:
    images = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    return RealData(INFO, images, torch.tensor([0, 0, 0, 1, 1, 1]), images[:2], torch.arange(2))


class Given(RandomSelection):
    """Gives what it is told to."""

    made: ClassVar[Any] = None

    def recover(self, problem: Any, indices: Tensor) -> Any:
        return self.made


class Painted(Given):
    makes: ClassVar[Any] = "pixels"


def recovered(distiller: Any, data: RealData, cache: Cache, **changes: Any) -> Any:
    spec = Recover(
        data=data_key(INFO), distiller=distiller, counts=(2, 2), matchers=changes.get("by", ()),
        regularizers=(), seed=0, precision="fp32",
    )  # fmt: skip
    partial = cache.partial("recover", "key")
    return recover(spec, data, changes.get("taught", []), partial, CTX, Meter("cpu"))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (torch.zeros(1, 3, 8, 8), r"gave float32 \[1, 3, 8, 8\]"),
        (torch.zeros(2, 3, 5, 5), r"gave float32 \[2, 3, 5, 5\]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.long), r"gave int64 \[2, 3, 8, 8\]"),
        (None, "gave a NoneType"),
    ],
)
def test_images_of_another_kind_are_refused(
    made: Any, said: str, data: RealData, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Given, "made", made)
    with pytest.raises(DDBenchError, match=rf"Painted\.recover {said}") as caught:
        recovered(Painted(), data, cache)
    assert "expected: floating point [2, 3, 8, 8]" in str(caught.value)
    assert not cache.partial("recover", "key").folder.exists()


def test_pixels_that_are_no_numbers_are_not_stored_as_black(
    data: RealData, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Given, "made", torch.full((2, 3, 8, 8), torch.nan))
    with pytest.raises(DivergedError, match=r"Painted\.recover gave images with pixels"):
        recovered(Painted(), data, cache)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (torch.tensor([0]), r"gave int64 \[1\]"),
        (torch.tensor([0.0, 1.0]), r"gave float32 \[2\]"),
        (torch.tensor([0, -1]), "chose row -1 of the training set for class cat"),
        (torch.tensor([0, 6]), "chose row 6 of the training set for class cat"),
        (torch.tensor([3, 0]), "chose row 3 of the training set for class cat"),
    ],
)
def test_rows_that_are_none_of_the_class_are_refused(
    made: Tensor, said: str, data: RealData, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Given, "made", made)
    with pytest.raises(DDBenchError, match=rf"Given\.recover {said}"):
        recovered(Given(), data, cache)


class Wide(CrossEntropy):
    """One number for each image, which is one number where there is one image."""

    def loss(self, step: Any) -> Tensor:
        return CrossEntropy.loss(self, step).view(1)


def test_a_loss_with_an_axis_is_refused(data: RealData, cache: Cache) -> None:
    network = freeze_network(Network(build_network(PART, INFO, 0, CTX), "classifier"), CTX)
    part = Optimize(iterations=1, batch_size=1)
    with pytest.raises(DDBenchError, match=r"Wide\.loss gave \[1\]") as caught:
        recovered(part, data, cache, by=((1.0, Wide()),), taught=[Teacher(network, {}, (None,))])
    assert "one number for the whole batch" in str(caught.value)


# -- the last loss ---------------------------------------------------------------------------------


def _told(value: float, at: int) -> DivergedError:
    return DivergedError(f"{value} at {at}")


def test_a_loss_between_two_looks_is_looked_at_in_the_end() -> None:
    notes: list[str] = []
    losses = Losses(_told, lambda steps, note: notes.append(note))
    for _ in range(26):
        losses(torch.tensor(1.0))
    assert notes == ["" if number != 25 else "loss 1" for number in range(1, 27)]
    assert losses.last() == 1
    losses(torch.tensor(torch.nan))
    losses(None)
    with pytest.raises(DivergedError, match="nan at 27"):
        losses.last()


def _tick_without_a_number(problem: Any) -> None:
    for _ in range(24):
        problem.tick(torch.tensor(torch.nan))


class Short(Preparation):
    """A piece of 24 updates without a number."""

    pieces: int = 1

    def updates(self, info: Any) -> int:
        return 24

    def piece(self, problem: Any, number: int) -> Tensor:
        _tick_without_a_number(problem)
        return torch.zeros(1)


class ShortPretraining(Pretraining):
    """24 updates without a number."""

    def updates(self, count: int) -> int:
        return 24

    def pretrain(self, problem: Any, network: Network) -> None:
        _tick_without_a_number(problem)


def test_a_short_preparation_that_diverged_is_no_result(data: RealData, cache: Cache) -> None:
    spec = Prepare(
        data=data_key(INFO), preparation=Short(), architecture=PART, seed=0, precision="fp32"
    )
    with pytest.raises(DivergedError, match="not finite after 24 updates, piece 1 of 1"):
        prepare(spec, data, cache.partial("prepare", "key"), CTX, Meter("cpu"))


def test_a_short_pretraining_that_diverged_is_no_result(data: RealData) -> None:
    network = Network(build_network(PART, INFO, 0, CTX), "classifier")
    with pytest.raises(DivergedError, match="pretraining is not finite after 24 updates"):
        pretrain(ShortPretraining(), network, data, 0, CTX)


# -- finished groups -------------------------------------------------------------------------------


class Failing(Given):
    """Makes the first class, and ends with a fault at the second."""

    fault: ClassVar[BaseException | None] = None

    def recover(self, problem: Any, indices: Tensor) -> Any:
        cls = int(problem.labels[indices[0]])
        if cls == 1 and self.fault is not None:
            raise self.fault
        return problem.real_indices(cls)[: len(indices)]


def _full_disk() -> DDBenchError:
    fault = DDBenchError("the disk of the cache is full")
    fault.__cause__ = OSError(28, "No space left on device")
    return fault


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (ValueError("a bug"), 0),
        (DivergedError("no number"), 0),
        (KeyboardInterrupt(), 1),
        (torch.OutOfMemoryError("no room"), 1),
        (OSError(5, "Input/output error"), 1),
        (_full_disk(), 1),
        (RuntimeError("CUDA error: unspecified launch failure"), 1),
    ],
)
def test_finished_groups_go_where_the_part_itself_failed(
    fault: BaseException, kept: int, data: RealData, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mended part keeps its key: half of a set would be of the code that failed."""
    monkeypatch.setattr(Failing, "fault", fault)
    with pytest.raises(type(fault)):
        recovered(Failing(), data, cache)
    assert len(list(cache.root.glob("partial/*/*.safetensors"))) == kept
    monkeypatch.setattr(Failing, "fault", None)
    found, _ = recovered(Failing(), data, cache)
    assert found.indices.tolist() == [0, 1, 3, 4]
