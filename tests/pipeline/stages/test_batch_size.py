"""batch_size=auto: as many images as fit, and the same images whatever that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.types import DatasetInfo, Network, Tensors
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.pipeline.results import ClassAtoms
from ddbench.pipeline.specs import Recover, data_key
from ddbench.pipeline.stages import problem
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.store.cache import Cache
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.distillers.optimize import SHARE, Optimize
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.none import Nothing
from ddbench_plugins.matchers.wasserstein import Wasserstein
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

CLASSES, IPC = 6, 3
INFO = DatasetInfo(
    name="six",
    classes=tuple("abcdef"),
    shape=(3, 8, 8),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.25, 0.3),
    train_counts=(7,) * CLASSES,
    test_counts=(1,) * CLASSES,
    fingerprint="f",
)
PART = Optimize(iterations=6, lr=0.1, crop=(0.5, 1.0), roll=(0, 2), same_views=True)
PCBN = ClassBatchNorm()


@pytest.fixture(scope="module")
def data() -> RealData:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7 * CLASSES, 3, 8, 8), generator=rng, dtype=torch.uint8)
    labels = torch.arange(CLASSES).repeat(7)
    return RealData(INFO, images, labels, images[:CLASSES], torch.arange(CLASSES))


@pytest.fixture(scope="module")
def teacher() -> Network:
    part, ctx = ConvNetD(depth=2, width=4, norm="batch"), Context()
    return freeze_network(Network(build_network(part, INFO, 0, ctx), "classifier"), ctx)


@pytest.fixture(scope="module")
def moments(data: RealData, teacher: Network) -> Tensors:
    (found,) = compute_statistics([PCBN.moments], data, teacher, Context(), Meter("cpu"))
    return found


@pytest.fixture
def made(data: RealData, teacher: Network, moments: Tensors, cache: Cache) -> Any:
    """Images and report of WMDD's objective, as its paper writes it, or of other losses."""

    def run(part: Optimize, key: str, matcher: Any = None, regularizer: Any = PCBN) -> Any:
        atoms = ClassAtoms(
            torch.linspace(0, 1, CLASSES * IPC)[:, None].expand(-1, 16),
            torch.full((CLASSES * IPC,), 1 / IPC),
        )
        spec = Recover(
            data=data_key(INFO), distiller=part, counts=(IPC,) * CLASSES,
            matchers=((1.0, matcher or Wasserstein()),), regularizers=((0.1, regularizer),),
            seed=0, precision="fp32",
        )  # fmt: skip
        taught = Teacher(teacher, {PCBN.moments: moments}, [atoms])
        found, report = recover(
            spec, data, [taught], cache.partial("recover", key), Context(), Meter("cpu")
        )
        return found.images.int(), report

    return run


def room_for_images(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    """As if twice `count` images had room; the trial is of one class."""

    def room(work: Any, device: str) -> float:
        work()
        return count / (SHARE * IPC)

    monkeypatch.setattr(problem, "room_for", room)


@pytest.mark.parametrize("init", ["noise", "real"])
@pytest.mark.parametrize("size", [IPC, 5, 12])
def test_images_do_not_depend_on_how_they_are_divided(made: Any, size: int, init: Any) -> None:
    """Of sums over classes; bytes differ by one where rounding falls either way."""
    part = replace(PART, init=init)
    whole, _ = made(replace(part, batch_size=100), "whole")
    parts, _ = made(replace(part, batch_size=size), "parts")
    assert (whole - parts).abs().max() <= 1
    assert (whole != parts).float().mean() < 0.01
    assert len(whole.unique(dim=0)) == CLASSES * IPC


def test_auto_takes_what_fits_says_so_and_changes_no_image(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for_images(monkeypatch, 7)
    found, report = made(replace(PART, batch_size="auto", same_views=False), "auto")
    assert report["recover.batch_size"] == 7
    assert "recover.same_views" not in report
    whole, plain = made(replace(PART, batch_size=100), "whole")
    assert (whole - found).abs().max() <= 1
    assert "recover.batch_size" not in plain


def test_auto_goes_on_with_groups_of_its_own_size_alone(
    made: Any, monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    room_for_images(monkeypatch, 6)
    part = replace(PART, batch_size="auto")
    first, _ = made(part, "key")
    marked = cache.partial("recover", "key").divide("batch_size=6")
    marked.put(0, {"group": torch.zeros(6, 3, 8, 8, dtype=torch.uint8)})
    again, _ = made(part, "key")
    assert not again[:6].any()
    assert torch.equal(again[6:], first[6:])
    room_for_images(monkeypatch, 9)
    other, _ = made(part, "key")
    assert (other - first).abs().max() <= 1


@pytest.mark.parametrize(
    ("matcher", "regularizer"),
    [
        (Wasserstein(norm="l2"), PCBN),
        (CrossEntropy(), PCBN),
        (Nothing(), ClassBatchNorm(class_reduction="mean")),
        (Nothing(), BatchNorm()),
    ],
)
def test_auto_is_refused_where_it_would_change_the_images(
    made: Any, matcher: Any, regularizer: Any
) -> None:
    with pytest.raises(DDBenchError, match="not sums over classes") as caught:
        made(replace(PART, batch_size="auto"), "key", matcher, regularizer)
    assert "--batch-size 100" in caught.value.hint


def test_a_class_that_does_not_fit_is_an_error(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for_images(monkeypatch, IPC - 1)
    with pytest.raises(DDBenchError, match="3 images of a class do not fit"):
        made(replace(PART, batch_size="auto"), "key")


def test_a_processor_takes_no_more_than_a_hundred_or_a_class(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for_images(monkeypatch, 1e9)
    _, report = made(replace(PART, batch_size="auto"), "key")
    assert report["recover.batch_size"] == 100


@pytest.mark.parametrize("change", [{"per_image": True}, {"layout": "spread"}])
@pytest.mark.parametrize("free", [{"same_views": True}, {"batch_size": "auto"}])
def test_what_goes_by_groups_is_refused(change: dict[str, Any], free: dict[str, Any]) -> None:
    with pytest.raises(DDBenchError, match=f"{next(iter(change))} is"):
        Optimize(**change, **free)


def test_separable_losses_are_sums_over_classes(
    data: RealData, teacher: Network, moments: Tensors
) -> None:
    """What the parts say of themselves, checked on the objective of all and of single classes."""
    from ddbench.api.features import Features
    from ddbench.pipeline.stages.problem import RecoverProblem, Taught, Term

    matchers = [Wasserstein(), CrossEntropy(reduction="sum"), Mean(), Nothing()]
    (features,) = compute_statistics([Features()], data, teacher, Context(), Meter("cpu"))
    known = {PCBN.moments: moments, Features(): features}
    labels = torch.arange(CLASSES).repeat_interleave(IPC)
    images = torch.randn(len(labels), *INFO.shape, generator=torch.Generator().manual_seed(1))
    for matcher in matchers:
        part = PCBN if isinstance(matcher, Nothing) else None
        taps = (*matcher.taps(teacher), *(PCBN.taps(teacher) if part else ()))
        whole = RecoverProblem(
            info=INFO, labels=labels, weights=torch.full((len(labels),), 1 / IPC), device="cpu",
            seed=0, data=data, regularizers=[(1.0, PCBN)] if part else [],
        )  # fmt: skip
        with whole.probe(teacher, taps) as probe:
            atoms = torch.rand(len(labels), 16) if matcher.target else None
            whole.taught = [Taught(teacher, probe, [Term(1.0, matcher, atoms)], known)]
            assert whole.separable
            every = torch.arange(len(labels))
            single = [whole.objective(images[rows], rows, 0.0) for rows in every.split(IPC)]
            torch.testing.assert_close(whole.objective(images, every, 0.0), sum(single))
