"""recover: groups, weights, guards, resuming, and the objective that distillers are given."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from ddbench.api.errors import DDBenchError, DDBenchWarning, DivergedError
from ddbench.api.features import Features, feature_tap
from ddbench.api.types import DatasetInfo, Network, Tap
from ddbench.data.real import RealData
from ddbench.nn.build import build_network
from ddbench.nn.probe import freeze_network
from ddbench.pipeline.results import ClassAtoms
from ddbench.pipeline.specs import Recover, data_key
from ddbench.pipeline.stages.problem import RecoverProblem
from ddbench.pipeline.stages.recover import Teacher, recover
from ddbench.pipeline.stages.recovered import quantise
from ddbench.pipeline.stages.statistics import compute_statistics
from ddbench.runtime.context import Context
from ddbench.runtime.cost import Meter
from ddbench.runtime.seeds import make_generator
from ddbench.store.cache import Cache
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet
from ddbench_plugins.distillers.optimize import Optimize
from ddbench_plugins.distillers.select import RandomSelection, WholeSet
from ddbench_plugins.matchers.cross_entropy import CrossEntropy
from ddbench_plugins.matchers.mean import Mean
from ddbench_plugins.matchers.wasserstein import Wasserstein
from ddbench_plugins.regularizers._moments import ClassMoments
from ddbench_plugins.regularizers.class_batch_norm import ClassBatchNorm

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
FAST = Optimize(iterations=3, lr=0.1, roll=(0, 2))


@pytest.fixture(scope="module")
def data() -> RealData:
    labels = torch.arange(3).repeat_interleave(torch.tensor(INFO.train_counts))
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (18, 3, 8, 8), generator=rng, dtype=torch.uint8)
    order = torch.randperm(18, generator=rng)
    tests = torch.arange(3).repeat_interleave(2)
    return RealData(INFO, images, labels[order], images[:6], tests)


@pytest.fixture(scope="module")
def teacher() -> Network:
    part, ctx = ConvNetD(depth=2, width=4, norm="batch"), Context()
    return freeze_network(Network(build_network(part, INFO, 0, ctx), "classifier"), ctx)


def spec_of(distiller: Any, counts: tuple[int, ...] = (2, 3, 1), **changes: Any) -> Recover:
    spec = Recover(
        data=data_key(INFO),
        distiller=distiller,
        counts=counts,
        matchers=((1.0, CrossEntropy()),) if distiller.needs else (),
        regularizers=(),
        seed=0,
        precision="fp32",
    )
    return replace(spec, **changes)


def made(
    spec: Recover, data: RealData, teacher: Network | None, cache: Cache, key: str = "key",
    known: Any = None, atoms: Any = (None,), meter: Meter | None = None,
) -> tuple[dict[str, Tensor], dict[str, float]]:  # fmt: skip
    atoms = atoms if spec.matchers else ()
    teachers = [] if teacher is None else [Teacher(teacher, known or {}, atoms)]
    partial = cache.partial("recover", key)
    return recover(spec, data, teachers, partial, Context(), meter or Meter("cpu"))


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 0, 5), (7, 1, 0)])
@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_any_counts_and_any_batch(
    counts: Any, size: int, data: RealData, teacher: Network, cache: Cache
) -> None:
    meter = Meter("cpu")
    part = replace(FAST, batch_size=size)
    found, report = made(spec_of(part, counts), data, teacher, cache, meter=meter)
    n = sum(counts)
    assert found.images.shape == (n, 3, 8, 8)
    assert found.images.dtype == torch.uint8
    assert torch.bincount(found.labels, minlength=3).tolist() == list(counts)
    assert [len(group) for group in meter.ticks] == [3] * len(part.batches(found.labels))
    assert torch.isfinite(torch.tensor(report["recover.final_loss"]))
    for cls in found.labels.unique():
        assert float(found.weights[found.labels == cls].sum()) == pytest.approx(1)


def test_the_same_spec_gives_the_same_bytes_whatever_was_drawn_before(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    one, _ = made(spec_of(FAST), data, teacher, cache, "one")
    torch.manual_seed(123)
    two, _ = made(spec_of(FAST), data, teacher, cache, "two")
    assert save(one.to_tensors()) == save(two.to_tensors())
    other, _ = made(spec_of(FAST, seed=1), data, teacher, cache, "three")
    assert not torch.equal(one.images, other.images)


class SameStart(Optimize):
    """Starts each image from noise of its own, whatever the group."""

    def _start_images(self, problem: Any, indices: Tensor, rng: Any) -> Tensor:
        return torch.stack(
            [torch.randn(INFO.shape, generator=make_generator(int(i))) for i in indices]
        )


def test_under_squared_sums_each_class_is_a_problem_of_its_own(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    """Barycenter and PCBN as in the paper: the same images, however classes are grouped."""
    moments, counts = ClassMoments(), (2, 3, 2)
    (known,) = compute_statistics([moments], data, teacher, Context(), Meter("cpu"))
    points = torch.randn(7, teacher.module.classifier.in_features, generator=make_generator(0))
    atoms = ClassAtoms(points, torch.tensor([0.3, 0.7, 0.2, 0.2, 0.6, 0.5, 0.5]))
    results = []
    classes = torch.arange(3).repeat_interleave(torch.tensor(counts))
    for key, size, groups in (("together", 100, 1), ("two", 5, 2), ("alone", 3, 3)):
        part = SameStart(
            iterations=3, lr=0.1, crop=(1.0, 1.0), flip=False, roll=(0, 0), batch_size=size
        )
        assert len(part.batches(classes)) == groups
        spec = spec_of(
            part, counts,
            matchers=((1.0, Wasserstein()),), regularizers=((0.1, ClassBatchNorm()),),
        )  # fmt: skip
        found, _ = made(spec, data, teacher, cache, key, {moments: known}, [atoms])
        assert torch.equal(found.weights, atoms.weights)  # those of the barycenter
        results.append(found.images.int())
    for other in results[1:]:
        assert (results[0] - other).abs().max() <= 1
    start = torch.stack([torch.randn(INFO.shape, generator=make_generator(i)) for i in range(7)])
    assert (results[0] - quantise(start, _problem(data)).int()).abs().float().mean() > 2


def test_random_selection_is_indices_of_the_class_and_has_equal_weights(
    data: RealData, cache: Cache
) -> None:
    found, report = made(spec_of(RandomSelection(), (5, 1, 7)), data, None, cache)
    assert data.train_labels[found.indices].tolist() == found.labels.tolist()
    assert len(set(found.indices.tolist())) == 13
    torch.testing.assert_close(found.weights, (1 / torch.tensor([5.0, 1, 7]))[found.labels])
    assert report == {}


class Curious(RandomSelection):
    """Looks at what it was given: statistics, and activations of its own taps."""

    needs: ClassVar[frozenset[str]] = frozenset({"teacher"})
    statistics: ClassVar[Any] = (Features(), ClassMoments())
    seen: ClassVar[list[Any]] = []

    def taps(self, network: Network) -> tuple[Tap, ...]:
        return (feature_tap(network),)

    def recover(self, problem: Any, indices: Tensor) -> Tensor:
        images = problem.real(0)
        (found,) = problem.teachers[0](images).taps.values()
        self.seen.append((dict(problem.known), found["features"]))
        return RandomSelection.recover(self, problem, indices)


def test_a_distiller_is_given_the_statistics_and_activations_that_it_declares(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    spec = spec_of(Curious(), matchers=())
    assert spec.statistics == Curious.statistics
    passed = compute_statistics(spec.statistics, data, teacher, Context(), Meter("cpu"))
    known = dict(zip(spec.statistics, passed, strict=True))
    made(spec, data, teacher, cache, known=known)
    given, features = Curious.seen[0]
    assert set(given) == set(Curious.statistics)
    real = given[Features()]
    assert torch.equal(real["labels"], data.train_labels)  # row i is image i of the training set
    wanted = real["features"][data.of_class(0)]
    torch.testing.assert_close(features, wanted, rtol=1e-4, atol=1e-5)


def test_the_whole_set_is_every_index_once(data: RealData, cache: Cache) -> None:
    found, _ = made(spec_of(WholeSet(), INFO.train_counts), data, None, cache)
    assert sorted(found.indices.tolist()) == list(range(18))


# -- resuming --------------------------------------------------------------------------------------


class Fragile(Optimize):
    """Falls over at one group, as often as it is told to, and remembers what it made."""

    log: ClassVar[list[int]] = []
    fails_at: ClassVar[int] = -1

    def recover(self, problem: Any, indices: Tensor) -> Tensor:
        first = int(indices[0])
        if first == self.fails_at:
            raise KeyboardInterrupt
        self.log.append(first)
        return Optimize.recover(self, problem, indices)


@pytest.mark.parametrize("stop", [0, 2, 4])
def test_finished_groups_survive_and_the_end_is_that_of_an_undisturbed_run(
    stop: int, data: RealData, teacher: Network, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {f.name: getattr(FAST, f.name) for f in fields(Optimize)}
    part = Fragile(**{**options, "batch_size": 2})
    spec = spec_of(part, (2, 2, 2))
    monkeypatch.setattr(Fragile, "log", [])
    undisturbed, report = made(spec, data, teacher, cache, "calm")
    assert part.log == [0, 2, 4]
    monkeypatch.setattr(Fragile, "log", [])
    monkeypatch.setattr(Fragile, "fails_at", stop)
    with pytest.raises(KeyboardInterrupt):
        made(spec, data, teacher, cache, "killed")
    assert part.log == [row for row in (0, 2, 4) if row < stop]
    monkeypatch.setattr(Fragile, "fails_at", -1)
    found, report_after = made(spec, data, teacher, cache, "killed")
    assert part.log == [0, 2, 4]  # each group once
    assert save(found.to_tensors()) == save(undisturbed.to_tensors())
    assert report_after == report
    again, _ = made(spec, data, teacher, cache, "killed")
    assert part.log == [0, 2, 4]
    assert torch.equal(again.images, undisturbed.images)


def test_a_group_that_cannot_be_read_is_made_again(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    spec = spec_of(replace(FAST, batch_size=2), (2, 2, 2))
    undisturbed, _ = made(spec, data, teacher, cache)
    folder = cache.partial("recover", "key").folder
    files = sorted(folder.iterdir())
    assert len(files) == 3
    files[1].write_bytes(files[1].read_bytes()[:40])
    (folder / "000002.1.tmp").write_bytes(b"half")
    found, _ = made(spec, data, teacher, cache)
    assert torch.equal(found.images, undisturbed.images)


# -- guards ----------------------------------------------------------------------------------------


class Broken(CrossEntropy):
    def loss(self, step: Any) -> Tensor:
        return CrossEntropy.loss(self, step) * (torch.nan if step.progress > 0.4 else 1.0)


def test_a_loss_that_is_not_finite_names_iteration_and_group(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    spec = spec_of(replace(FAST, batch_size=2), (2, 2, 2), matchers=((1.0, Broken()),))
    with pytest.raises(DivergedError, match="nan at iteration 2, group 1 of 3") as caught:
        made(spec, data, teacher, cache)
    assert "recover.lr" in caught.value.hint
    assert not cache.partial("recover", "key").folder.exists()
    assert not any(m._forward_pre_hooks for m in teacher.module.modules())  # hooks are out again


def test_a_distiller_that_leaves_images_out_is_refused(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    class Forgetful(Optimize):
        def batches(self, labels: Tensor) -> list[Tensor]:
            return Optimize.batches(self, labels[:-1])

    with pytest.raises(DDBenchError, match=r"Forgetful\.batches does not divide the images"):
        made(spec_of(Forgetful(iterations=1)), data, teacher, cache)


def test_the_objective_needs_to_be_asked_for(data: RealData) -> None:
    with pytest.raises(DDBenchError, match="asks for the objective but does not say so") as caught:
        _problem(data).objective(torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.long), 0.0)
    assert "needs" in caught.value.hint


# -- the objective ---------------------------------------------------------------------------------


def test_the_objective_is_the_weighted_sum_of_its_terms(
    data: RealData, teacher: Network, cache: Cache
) -> None:
    """The loss of the first step, put together by hand."""
    ctx, counts = Context(), (1, 2, 1)
    moments, features = ClassMoments(), Features()
    found = compute_statistics([moments, features], data, teacher, ctx, Meter("cpu"))
    known = dict(zip((moments, features), found, strict=True))
    wide = teacher.module.classifier.in_features
    points = torch.randn(4, wide, generator=torch.Generator().manual_seed(1))
    atoms = ClassAtoms(points, torch.tensor([1.0, 0.4, 0.6, 1.0]))
    parts = ((0.5, Wasserstein()), (2.0, CrossEntropy()), (3.0, Mean()))

    def first_loss(matchers: Any, regularizers: Any, key: str) -> float:
        part = Optimize(iterations=1, crop=(1.0, 1.0), flip=False, roll=(0, 0))
        spec = spec_of(part, counts, matchers=matchers, regularizers=regularizers)
        given = [atoms if isinstance(m, Wasserstein) else None for _, m in matchers]
        _, report = made(spec, data, teacher, cache, key, known, given)
        return report["recover.final_loss"]

    pcbn = ((0.7, ClassBatchNorm()),)
    each = [first_loss(((1.0, part),), (), f"m{i}") for i, (_, part) in enumerate(parts)]
    # PCBN weighs by the barycenter's weights, so it is taken beside a matcher that has them.
    with_pcbn = first_loss(((1.0, Wasserstein()),), pcbn, "r") - each[0]
    expected = sum(w * v for (w, _), v in zip(parts, each, strict=True)) + with_pcbn
    # Mean weighs as well: alone it has equal weights, here those of the barycenter.
    alone = first_loss(((0.5, Wasserstein()), (2.0, CrossEntropy())), pcbn, "all")
    assert alone == pytest.approx(expected - 3.0 * each[2], rel=1e-4)
    assert first_loss(parts, pcbn, "sum") != pytest.approx(alone, rel=1e-3)


# -- storing ---------------------------------------------------------------------------------------


def _problem(data: RealData) -> RecoverProblem:
    return RecoverProblem(
        info=INFO, labels=torch.zeros(1, dtype=torch.long), weights=torch.ones(1), device="cpu",
        seed=0, data=data,
    )  # fmt: skip


def test_pixel_range_is_that_of_black_and_white(data: RealData) -> None:
    problem = _problem(data)
    low, high = problem.pixel_range()
    torch.testing.assert_close(problem.normalise(torch.zeros(1, 3, 1, 1)), low)
    torch.testing.assert_close(problem.normalise(torch.ones(1, 3, 1, 1)), high)
    torch.testing.assert_close(problem.images(torch.tensor([0])),
                               problem.normalise(data.train_images[:1] / 255))  # fmt: skip


class Hungry(Optimize, kw_only=True):
    """Has room only where activations are computed again."""

    def recover(self, problem: Any, indices: Tensor) -> Tensor:
        if not all(probe.checkpointed for probe in problem.teachers):
            raise torch.OutOfMemoryError("no room")
        return super().recover(problem, indices)


def test_where_memory_runs_out_activations_are_computed_again(data, tmp_path) -> None:
    """The same images, and a line that says so."""
    part, ctx = ResNet(18), Context()
    module = build_network(part, INFO, 0, ctx)
    taught = Teacher(freeze_network(Network(module, part.classifier(module)), ctx), {}, [None])
    made = []
    for number, distiller in enumerate((FAST, Hungry(iterations=3, lr=0.1, roll=(0, 2)))):
        spec = Recover(
            data=data_key(INFO), distiller=distiller, counts=(1, 1, 1),
            matchers=((1.0, CrossEntropy()),), regularizers=(), seed=0, precision="fp32",
        )  # fmt: skip
        partial = Cache(tmp_path / str(number)).partial("recover", "x")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tensors, report = recover(spec, data, [taught], partial, ctx, Meter("cpu"))
        told = [str(one.message) for one in caught if one.category is DDBenchWarning]
        made.append((tensors.images, report.get("recover.checkpointed"), told))
    (plain, no, silent), (again, yes, words) = made
    assert torch.equal(plain, again)
    assert (no, yes, silent) == (None, 1.0, [])
    assert "out of memory" in words[0]
    assert "--checkpoint" in words[0]


def test_where_nothing_can_be_computed_again_memory_that_runs_out_is_told(
    data, teacher, tmp_path
) -> None:
    """A ConvNet is no row of blocks."""
    spec = Recover(
        data=data_key(INFO), distiller=Hungry(iterations=3), counts=(1, 1, 1),
        matchers=((1.0, CrossEntropy()),), regularizers=(), seed=0, precision="fp32",
    )  # fmt: skip
    partial = Cache(tmp_path).partial("recover", "x")
    with pytest.raises(torch.OutOfMemoryError):
        recover(spec, data, [Teacher(teacher, {}, [None])], partial, Context(), Meter("cpu"))
