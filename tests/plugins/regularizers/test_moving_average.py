"""Moving averages of a batch's statistics, and layers left out, against loops and identities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.testing import tiny_info, tiny_real, tiny_step
from ddbench_plugins.regularizers._moving_average import MovingAverage, draw_kept_layers
from ddbench_plugins.regularizers.batch_norm import BatchNorm
from ddbench_plugins.regularizers.category_batch_norm import CategoryBatchNorm

IMAGES = tiny_real(tiny_info())[0][:5].double()


def test_the_average_is_that_of_a_loop_and_starts_from_the_first_batch() -> None:
    part, memory, held = MovingAverage(0.8), {}, None
    for value in (3.0, -1.0, 2.0, 0.5):
        held = value if held is None else 0.8 * held + 0.2 * value
        current = {"mean": torch.tensor([value], dtype=torch.float64)}
        assert float(part.apply(current, memory)["mean"]) == pytest.approx(held)
        memory = part.advance(current, memory)
        assert float(memory["mean"]) == pytest.approx(held)


def test_the_released_fault_compares_a_part_of_the_statistic_at_first() -> None:
    current = {"mean": torch.tensor([3.0])}
    assert float(MovingAverage(0.4).apply(current, {})["mean"]) == pytest.approx(3.0)
    wrong = MovingAverage(0.4, from_zero=True).apply(current, {})
    assert float(wrong["mean"]) == pytest.approx(0.6 * 3.0)


def test_the_gradient_is_that_of_the_batch_alone() -> None:
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    memory = {"s": torch.tensor([7.0], dtype=torch.float64)}
    (found,) = torch.autograd.grad(
        MovingAverage(0.8).apply({"s": x.square().sum()[None]}, memory)["s"].sum(), [x]
    )
    torch.testing.assert_close(found, 2 * x.detach())


def test_without_decay_nothing_is_remembered() -> None:
    current = {"s": torch.ones(2)}
    assert MovingAverage().apply(current, {"s": torch.zeros(2)})["s"] is current["s"]
    assert MovingAverage().advance(current, {}) == {}


@pytest.mark.parametrize("kind", [BatchNorm, CategoryBatchNorm])
def test_penalties_compare_the_average(kind: type) -> None:
    plain, averaged = kind(), kind(average=MovingAverage(0.6))
    step = tiny_step(averaged)
    assert averaged.penalty(step).item() == pytest.approx(plain.penalty(step).item(), rel=1e-6)
    memory = averaged.remember(tiny_step(averaged, labels=(0, 0, 0, 1, 1, 2, 2)))
    later = replace(step, memory=memory)
    assert averaged.penalty(later).item() != pytest.approx(plain.penalty(step).item(), rel=1e-3)
    assert plain.penalty(later).item() == plain.penalty(step).item()
    # Where the average has come to rest at the batch's own statistics, it changes nothing.
    rest = replace(step, memory=averaged.remember(step))
    torch.testing.assert_close(averaged.penalty(rest), plain.penalty(step))


def test_layers_are_left_out_with_the_given_probability() -> None:
    step, like = tiny_step(BatchNorm()), torch.zeros(1)
    assert draw_kept_layers(step, 9, 0.0, 1, like) is None
    many = draw_kept_layers(replace(step, seed=5), 20000, 0.4, 1, like)
    assert many.mean().item() == pytest.approx(0.6, abs=0.02)
    again = draw_kept_layers(replace(step, seed=5), 20000, 0.4, 1, like)
    other = draw_kept_layers(replace(step, seed=6), 20000, 0.4, 1, like)
    assert torch.equal(many, again)
    assert not torch.equal(many, other)


def test_a_penalty_with_layers_left_out_is_the_sum_of_the_others() -> None:
    part = BatchNorm(drop=0.5, first_layer=1.0)
    step = tiny_step(part)
    whole = BatchNorm(first_layer=1.0)
    first = BatchNorm(first_layer=2.0).penalty(step) - whole.penalty(step)
    second = whole.penalty(step) - first
    nothing = torch.zeros(())
    each = {(True, True): first + second, (True, False): first, (False, True): second,
            (False, False): nothing}  # fmt: skip
    seen = set()
    for seed in range(20):
        drawn = replace(step, seed=seed)
        kept = draw_kept_layers(drawn, 2, 0.5, 0xB4, torch.zeros(1))
        which = tuple(bool(k) for k in kept)
        seen.add(which)
        torch.testing.assert_close(part.penalty(drawn), each[which], rtol=1e-4, atol=1e-5)
    assert len(seen) == 4


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_shares_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(DDBenchError, match="expected: 0 to below 1"):
        BatchNorm(drop=value)
    with pytest.raises(DDBenchError, match="expected: 0 to below 1"):
        MovingAverage(value)
