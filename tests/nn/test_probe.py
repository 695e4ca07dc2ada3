"""A probe's fused forwards: the numbers of hooks, and a network that is left as it was."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from ddbench.api.errors import DDBenchWarning
from ddbench.api.moments import ChannelMoments, moment_taps
from ddbench.api.types import DatasetInfo, Network, Tap, Tensors
from ddbench.nn.probe import Probe, freeze_network
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.convnet import ConvNetD
from ddbench_plugins.architectures.resnet import ResNet

COMPILE = torch.compile


@dataclass(frozen=True, slots=True)
class PlainMoments:
    """What `ChannelMoments` keeps, as a hook would compute it."""

    def reduce(self, activation: Tensor) -> Tensors:
        return {"mean": activation.mean((2, 3)), "square": activation.square().mean((2, 3))}


@pytest.fixture(params=["resnet", "convnet"])
def network(request: pytest.FixtureRequest, info: DatasetInfo) -> Network:
    torch.manual_seed(0)
    part = ResNet(18) if request.param == "resnet" else ConvNetD(width=8, norm="batch")
    module = part.build(info)
    module.train()(torch.randn(8, *info.shape))
    return freeze_network(Network(module, part.classifier(module)), Context())


def looked_at(
    network: Network, taps: tuple[Tap, ...], images: Tensor, compiled: bool = False, **how: bool
) -> tuple[Tensor, Tensor]:
    """A loss of logits and all moments, and its gradient in the images."""
    images = images.clone().requires_grad_(True)
    with Probe(network, taps, Context(), compiled=compiled, **how) as probe:
        acts = probe(images)
        assert probe.compiled == (compiled and torch.compile is COMPILE)
    loss = acts.logits.square().mean()
    for tap in taps:
        mean, square = acts.taps[tap]["mean"].mean(0), acts.taps[tap]["square"].mean(0)
        loss = loss + (mean - 0.1).norm() + (square - mean.square() - 0.5).norm()
    return loss.detach(), torch.autograd.grad(loss, [images])[0]


def test_loss_and_gradient_are_those_of_hooks(network: Network) -> None:
    images = torch.randn(6, 3, 16, 16)
    taps = moment_taps(network, "test")
    loss, gradient = looked_at(network, taps, images)
    plain = tuple(Tap(tap.layer, PlainMoments()) for tap in taps)
    expected, wanted = looked_at(network, plain, images)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    assert (gradient - wanted).norm() <= 1e-4 * wanted.norm()


def test_the_network_is_as_it_was_after_a_call_and_after_a_fault(network: Network) -> None:
    taps, images = moment_taps(network, "test"), torch.randn(2, 3, 16, 16)
    before = network.module(images)
    with Probe(network, taps, Context()) as probe:
        probe(images)
        assert not any("forward" in vars(module) for module in network.module.modules())
        with pytest.raises(RuntimeError):
            probe(torch.randn(2, 5, 16, 16))
        assert torch.equal(network.module(images), before)


def test_two_probes_of_one_network_do_not_disturb_each_other(network: Network) -> None:
    taps, images = moment_taps(network, "test"), torch.randn(2, 3, 16, 16)
    with Probe(network, taps, Context()) as one, Probe(network, taps, Context()) as two:
        first, second = one(images), two(images)
    assert torch.equal(first.logits, second.logits)
    assert first.taps.keys() == second.taps.keys() == set(taps)


def test_hooks_of_others_still_run_and_other_taps_share_the_place(network: Network) -> None:
    (tap, *_), images = moment_taps(network, "test"), torch.randn(2, 3, 16, 16)
    seen: list[Tensor] = []
    norm: nn.Module = network.module.get_submodule(tap.layer)
    handle = norm.register_forward_hook(lambda _, __, output: seen.append(output))
    beside = Tap(tap.layer, PlainMoments())
    with Probe(network, (tap, beside), Context()) as probe:
        acts = probe(images)
    handle.remove()
    assert len(seen) == 1
    torch.testing.assert_close(acts.taps[tap], acts.taps[beside])


def test_in_half_precision_the_moments_are_those_of_a_hook(network: Network) -> None:
    """Of the same bfloat16 activations: equal bits, whether fused or not."""
    ctx, images = Context(precision="bf16"), torch.randn(2, 3, 16, 16)
    taps = moment_taps(network, "test")
    with Probe(network, taps, ctx) as probe:
        acts = probe(images)
    first = network.module.get_submodule(taps[0].layer)
    kept: list[Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad(), ctx.autocast():
        network.module(images)
    handle.remove()
    assert kept[0].dtype == torch.bfloat16
    expected = ChannelMoments().reduce(kept[0])
    assert torch.equal(acts.taps[taps[0]]["mean"], expected["mean"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_computed_again_is_the_same(info: DatasetInfo, precision: str) -> None:
    """Bit for bit, from fewer bytes kept."""
    part, ctx = ResNet(18), Context(precision=precision)
    torch.manual_seed(0)
    module = part.build(info)
    module.train()(torch.randn(8, *info.shape))
    network = freeze_network(Network(module, part.classifier(module)), ctx)
    taps = moment_taps(network, "test")
    start, found, kept = torch.randn(6, 3, 16, 16), [], []
    for checkpointed in (False, True):
        images, sizes = start.clone().requires_grad_(True), {}

        def keep(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with Probe(network, taps, ctx, checkpointed=checkpointed) as probe:
            assert probe.checkpointed == checkpointed
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                acts = probe(images)
            loss = sum(m.square().sum() for tap in taps for m in acts.taps[tap].values())
            (gradient,) = torch.autograd.grad(loss + acts.logits.square().sum(), images)
        assert acts.taps.keys() == set(taps)
        assert not any("forward" in vars(layer) for layer in module.modules())
        found.append((acts.logits.detach(), loss.detach(), gradient))
        weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
        kept.append(sum(size for place, size in sizes.items() if place not in weights))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert kept[1] < 0.6 * kept[0]


def test_a_network_that_is_no_row_of_blocks_cannot_be_checkpointed(info: DatasetInfo) -> None:
    part = ConvNetD(width=8, norm="batch")
    module = part.build(info)
    plain = freeze_network(Network(module, part.classifier(module)), Context())
    with Probe(plain, (), Context(), checkpointed=True) as probe:
        assert not probe.checkpointed
        assert not probe.checkpoint()


def test_checkpointing_is_switched_on_once(info: DatasetInfo) -> None:
    part = ResNet(18)
    module = part.build(info)
    network = freeze_network(Network(module, part.classifier(module)), Context())
    with Probe(network, (), Context()) as probe:
        assert probe.checkpoint()
        assert not probe.checkpoint()


def test_a_compiled_pass_gives_the_same(info: DatasetInfo) -> None:
    """In float64, where ReLUs do not flip by rounding; small, since compiling takes long."""
    if shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU")
    part = ConvNetD(2, 8, norm="batch")
    module = part.build(info)
    module.train()(torch.randn(8, *info.shape))
    network = freeze_network(Network(module.double(), part.classifier(module)), Context())
    taps, images = moment_taps(network, "test"), torch.randn(6, 3, 16, 16, dtype=torch.float64)
    expected, wanted = looked_at(network, taps, images)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DDBenchWarning)  # it does not go on without the compiler
        loss, gradient = looked_at(network, taps, images, compiled=True)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    assert (gradient - wanted).norm() <= 1e-4 * wanted.norm()


def test_what_cannot_be_compiled_runs_as_it_is(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(function: Any) -> Any:
        def call(*_: Any) -> Any:
            raise TorchDynamoException("no C++ compiler\nand many more lines")

        return call

    taps, images = moment_taps(network, "test"), torch.randn(6, 3, 16, 16)
    expected, wanted = looked_at(network, taps, images)
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(DDBenchWarning, match=r"here \(no C\+\+ compiler\); going on without it"):
        loss, gradient = looked_at(network, taps, images, compiled=True)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    assert (gradient - wanted).norm() <= 1e-4 * wanted.norm()
