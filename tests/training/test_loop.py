"""Schedules, budgets, optimiser groups, and a network that learns."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ddbench.api.errors import DivergedError
from ddbench.api.recipe import Augmentation, Training
from ddbench.runtime.context import Context
from ddbench.training.batches import Stream
from ddbench.training.loop import Trainee, predict, train

CTX = Context()
PLAIN = Augmentation(crop=(1.0, 1.0), flip=False, mix="none")


def _problem(info):
    labels = torch.arange(60) % 3
    images = torch.zeros(60, *info.shape, dtype=torch.uint8)
    images[torch.arange(60), labels] = 255
    stream = Stream(
        images=images, labels=labels, weights=torch.ones(60), info=info, augmentation=PLAIN,
        batch_size=20, seed=0,
    )  # fmt: skip
    torch.manual_seed(0)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    return module, stream


def _loss(logits, batch, answers):
    return F.cross_entropy(logits, batch.labels)


def test_a_network_learns_and_ends_in_eval_mode(info):
    module, stream = _problem(info)
    seen = []
    trainee = Trainee(module, 0, seen.append)
    train([trainee], stream, Training(epochs=20, lr=0.1), _loss, CTX, "t")
    assert not module.training
    assert seen == list(range(20))
    assert (predict(module, stream.images, info, Context()).argmax(1) == stream.labels).all()


def test_training_is_repeatable_and_counts_its_updates(info):
    ends = []
    for _ in range(2):
        module, stream = _problem(info)
        train([Trainee(module, 0)], stream, Training(epochs=9, max_updates=5), _loss, CTX, "t")
        ends.append(module[2].weight.detach().clone())
    assert torch.equal(*ends)


def test_losses_are_the_means_of_each_epoch_and_of_one_that_is_cut_short(info):
    module, stream = _problem(info)
    values = iter([3.0, 5.0, 10.0, 2.0, 4.0])

    def loss(logits, batch, answers):
        return 0 * logits.sum() + next(values)

    trainee = Trainee(module, 0)
    train([trainee], stream, Training(epochs=9, max_updates=5), loss, CTX, "t")
    assert trainee.losses == pytest.approx([6, 3])


@pytest.mark.parametrize(("max_updates", "updates"), [(0, 9), (5, 5)])
def test_a_loss_knows_how_much_of_the_training_lies_behind(info, max_updates, updates):
    """Also the answers do; a training that is cut short ends near 1 as well."""
    module, stream = _problem(info)
    seen, asked = [], []

    def loss(logits, batch, answers):
        seen.append((batch.epoch, batch.progress))
        return _loss(logits, batch, answers)

    training = Training(epochs=3, max_updates=max_updates)
    train(
        [Trainee(module, 0)], stream, training, loss, CTX, "t",
        lambda batch: asked.append((batch.epoch, batch.progress)),
    )  # fmt: skip
    assert seen == asked == [(update // 3, update / updates) for update in range(updates)]


def test_side_by_side_gives_the_numbers_of_each_alone(info):
    """Dropout draws from the network's own seed, so that neighbours do not change it."""
    training, parts = Training(epochs=4, lr=0.05), (8, 5)

    def fresh(width):
        torch.manual_seed(width)
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, width), nn.Dropout(0.5),
            nn.Linear(width, 3),
        )  # fmt: skip

    asked = []
    _, stream = _problem(info)
    together = [Trainee(fresh(width), width) for width in parts]
    train(together, stream, training, _loss, CTX, "t", lambda batch: asked.append(batch))
    assert len(asked) == 4 * stream.steps
    for width, beside in zip(parts, together, strict=True):
        torch.rand(width)  # the global generator does not matter
        alone = Trainee(fresh(width), width)
        train([alone], stream, training, _loss, CTX, "t")
        for one, other in zip(alone.module.parameters(), beside.module.parameters(), strict=True):
            assert torch.equal(one, other)
        assert alone.losses == beside.losses
        other_draws = Trainee(fresh(width), width + 1)
        train([other_draws], stream, training, _loss, CTX, "t")
        assert not torch.equal(other_draws.module[2].weight, alone.module[2].weight)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


class _Watched:
    """The loss, which sees by whom it is asked; threads of one core wait for each other, once."""

    def __init__(self):
        self.counts, self.at_once = set(), set()
        self._met = threading.Barrier(2, timeout=20)

    def __call__(self, logits, batch, answers):
        self.counts.add(torch.get_num_threads())
        if torch.get_num_threads() == 1 and threading.get_ident() not in self.at_once:
            self.at_once.add(threading.get_ident())
            self._met.wait()
        return _loss(logits, batch, answers)


def _convolving(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip


def test_on_several_threads_networks_are_trained_at_once_as_each_alone(info, two_threads):
    training, (_, stream) = Training(epochs=4, lr=0.05), _problem(info)

    def trained(seeds, loss=_loss):
        trainees = [Trainee(_convolving(seed), seed) for seed in seeds]
        train(trainees, stream, training, loss, CTX, "t")
        return trainees

    watched = _Watched()
    together, again = trained([1, 2, 3], watched), trained([1, 2, 3])
    assert len(watched.at_once) == 2
    assert watched.counts == {1, 2}  # the first update of each has all threads
    assert torch.get_num_threads() == 2
    for seed, one, other in zip((1, 2, 3), together, again, strict=True):
        assert one.fault is None
        assert len(one.losses) == 4
        assert one.losses == other.losses
        for here, there in zip(one.module.parameters(), other.module.parameters(), strict=True):
            assert torch.equal(here, there)
        (alone,) = trained([seed])
        assert one.losses == pytest.approx(alone.losses, rel=1e-4)  # rounding, twelve updates on


def test_networks_that_draw_are_trained_one_after_another(info, two_threads):
    training, (_, stream), watched = Training(epochs=3, lr=0.05), _problem(info), _Watched()

    def trained(seeds):
        trainees = [
            Trainee(nn.Sequential(_convolving(seed), nn.Dropout(0.5)), seed) for seed in seeds
        ]
        train(trainees, stream, training, watched, CTX, "t")
        return trainees

    for seed, beside in zip((1, 2), trained([1, 2]), strict=True):
        (alone,) = trained([seed])
        assert beside.losses == alone.losses
    assert watched.counts == {2}


def test_draws_that_begin_later_are_no_silent_race(info, two_threads):
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = _convolving(0), 0

        def forward(self, images):
            self.calls += 1
            found = self.inner(images)
            return F.dropout(found) if self.calls > 2 else found

    _, stream = _problem(info)
    trainees = [Trainee(Late(), 0), Trainee(Late(), 1)]
    train(trainees, stream, Training(epochs=9), _loss, CTX, "t")
    assert "drew random numbers after its first update" in str(trainees[0].fault)


def test_one_that_fails_at_once_with_others_leaves_them_alone(info, two_threads):
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = _convolving(0), 0

        def forward(self, images):
            self.calls += 1
            if self.calls > 2:
                raise ArithmeticError("no more")
            return self.inner(images)

    _, stream = _problem(info)
    bad, good = Trainee(Failing(), 0), Trainee(_convolving(1), 1)
    train([bad, good], stream, Training(epochs=20, lr=0.1), _loss, CTX, "t")
    assert "no more" in str(bad.fault)
    assert good.fault is None
    assert len(good.losses) == 20


def test_without_room_for_several_they_take_turns(info, two_threads, monkeypatch):
    (_, stream), watched = _problem(info), _Watched()
    monkeypatch.setattr(
        "ddbench.runtime.memory.psutil.virtual_memory", lambda: SimpleNamespace(available=1000)
    )
    trainees = [Trainee(_convolving(seed), seed) for seed in (1, 2)]
    train(trainees, stream, Training(epochs=3), watched, CTX, "t")
    assert [len(each.losses) for each in trainees] == [3, 3]
    assert watched.counts == {2}


def test_one_that_diverges_leaves_the_others_alone(info):
    class Diverging(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.ones(()))

        def forward(self, images):
            return images.mean((2, 3)) * self.slope * torch.inf

    module, stream = _problem(info)
    bad, good = Trainee(Diverging(), 0), Trainee(module, 0)
    train([bad, good], stream, Training(epochs=20, lr=0.1), _loss, CTX, "t")
    assert isinstance(bad.fault, DivergedError)
    assert "not finite after epoch 0" in str(bad.fault)
    assert good.fault is None
    assert (len(bad.losses), len(good.losses)) == (0, 20)
    assert (predict(module, stream.images, info, CTX).argmax(1) == stream.labels).all()
