"""Layers that keep less for the backward pass are the layers they stand for."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from ddbench.api.types import DatasetInfo, Network
from ddbench.nn.build import build_network
from ddbench.nn.frozen_layers import (
    LeanMaxPool2d,
    LeanReLU,
    _go_back,
    _transpose,
    use_lean_layers,
)
from ddbench.nn.probe import freeze_network
from ddbench.runtime.context import Context
from ddbench_plugins.architectures.resnet import ResNet

LAYERS = [
    nn.Conv2d(4, 6, 3, 2, 1),
    nn.Conv2d(4, 6, 3, padding=1, bias=False),
    nn.Conv2d(4, 8, (3, 1), (1, 2), (2, 0), (2, 1), groups=2),
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d((2, 3), ceil_mode=True),
]


def pair(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A frozen layer as torch has it, and lean, of the same numbers."""
    plain = copy.deepcopy(layer).double().eval().requires_grad_(False)
    lean = use_lean_layers(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(lean) is not type(plain)
    assert isinstance(lean, type(plain))
    return plain, lean


def images(layout: torch.memory_format = torch.channels_last) -> Tensor:
    drawn = torch.randn(3, 4, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn.contiguous(memory_format=layout)


def kept(network: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps, parameters not counted."""
    own = {parameter.data_ptr() for parameter in network.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            sizes[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(sizes.values())


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_value_and_gradient_are_those_of_the_plain_layer(layer, layout):
    found = []
    for one in pair(layer):
        x = images(layout).requires_grad_(True)
        y = one(x * 1)  # not a leaf: a ReLU may write into it
        (slope,) = torch.autograd.grad((y.sin() * torch.arange(y.numel()).view(y.shape)).sum(), x)
        found.append((y, slope))
    for plain, lean in zip(*found, strict=True):
        torch.testing.assert_close(lean, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_finite_differences(layer):
    _, lean = pair(layer)
    assert torch.autograd.gradcheck(lambda x: lean(x * 1), images().requires_grad_(True))


@pytest.mark.parametrize("layer", LAYERS[:3], ids=str)
@pytest.mark.parametrize("size", [(9, 7), (8, 8), (5, 6)])
def test_what_a_gpu_does_is_the_backward_pass(layer, size):
    """Sizes of which a stride leaves a pixel out have the same output as those that it does not."""
    kernel, how = layer.weight.double(), (layer.stride, layer.padding, layer.dilation, layer.groups)
    x = torch.empty(2, 4, *size).double()
    rng = torch.Generator().manual_seed(0)
    slope = torch.randn(layer.double()(x).shape, generator=rng, dtype=torch.float64)
    found = _transpose(slope, kernel, x.shape, how)
    assert found.shape == x.shape
    torch.testing.assert_close(found, _go_back(slope, kernel, x.shape, how))


def test_a_convolution_differentiates_twice():
    """For whoever takes gradients of gradients through a frozen network."""
    network = nn.Sequential(pair(nn.Conv2d(4, 4, 3))[1], nn.Tanh(), pair(nn.Conv2d(4, 2, 3))[1])
    x = images()[:1].requires_grad_(True)
    assert torch.autograd.gradgradcheck(lambda x: network(x), x)


@pytest.mark.parametrize(
    ("layer", "most"), [(LAYERS[0], 0), (LAYERS[4], 1 / 64), (LAYERS[5], 1 / 16)], ids=str
)
def test_keeps_what_it_promises(layer, most, threads):
    """Nothing; a bit in place of a float64, or a byte; two bytes for each of a quarter of the
    pixels."""
    if isinstance(layer, nn.ReLU):
        most *= 1 if threads == 1 else 8
    plain, lean = pair(layer)
    x = images().requires_grad_(True) * 1
    size = x.untyped_storage().nbytes()
    assert kept(plain, x.detach().requires_grad_(True) * 1) >= size
    assert kept(lean, x) <= most * size * 1.3


@pytest.mark.parametrize(
    "x",
    [
        images()[:, ::2],
        images()[:, :, 1:8, ::3].permute(2, 0, 3, 1),
        images()[:1].expand(5, 4, 9, 7),
        images()[0, 0, 0, 0],
        images()[:0],
        images().repeat(30, 70, 1, 1),  # more than is multiplied at a time
    ],
    ids=["gaps", "permuted", "expanded", "number", "none", "large"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_signs_of_any_tensor_are_kept_as_bits_or_bytes(x, dtype, threads):
    x = x.to(dtype)
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    found = {}
    for relu in (LeanReLU().eval(), nn.ReLU()):
        own = x.detach().requires_grad_(True)
        (found[type(relu)],) = torch.autograd.grad(relu(own), own, slope)
    assert torch.equal(found[LeanReLU], found[nn.ReLU])
    own = x.detach().clone().requires_grad_(True)
    assert kept(LeanReLU().eval(), own) <= (x.numel() // 8 + 1 if threads == 1 else x.numel())


@pytest.mark.usefixtures("threads")
def test_zeros_of_either_sign_have_no_slope():
    x = torch.tensor([-1.0, -0.0, 0.0, 1e-45, 2.0], requires_grad=True)
    LeanReLU().eval()(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 1, 1]


def test_a_layer_that_learns_is_torchs_own():
    """Gradients of kernels need the input; training ReLUs share it with the next convolution."""
    network = use_lean_layers(nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())).double().train()
    y = network(images().requires_grad_(True))
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "ReluBackward0"
    assert y.grad_fn.next_functions[0][0].name() == "ConvolutionBackward0"
    y.sum().backward()
    assert network[0].weight.grad is not None


def test_parameters_put_in_place_by_functional_call_are_learned():
    layer = use_lean_layers(nn.Sequential(nn.Conv2d(4, 6, 3, bias=False))).double()
    layer.requires_grad_(False)
    kernel = layer[0].weight.detach().clone().requires_grad_(True)
    y = torch.func.functional_call(layer, {"0.weight": kernel}, (images().requires_grad_(True),))
    (slope,) = torch.autograd.grad(y.square().sum(), kernel)
    assert slope.abs().sum() > 0


def test_subclasses_are_left_alone():
    class Own(nn.ReLU):
        def forward(self, input: Tensor) -> Tensor:
            return input + 1

    assert type(use_lean_layers(nn.Sequential(Own()))[0]) is Own


def test_frozen_networks_have_them_and_no_others():
    """A student in eval mode is torch's own, for evaluators that transform it (`torch.func`)."""
    info = DatasetInfo("", ("a", "b"), (3, 64, 64), (), (), (), (), "")
    lean = {LeanReLU, LeanMaxPool2d}
    student = build_network(ResNet(18), info, 0, Context())
    assert not lean & {type(layer) for layer in student.modules()}
    teacher = freeze_network(Network(student, "fc"), Context()).module
    assert lean <= {type(layer) for layer in teacher.modules()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_teacher_keeps_much_less_and_gives_the_same_gradient(dtype):
    info = DatasetInfo("", ("a", "b"), (3, 64, 64), (), (), (), (), "")
    plain = ResNet(18).build(info)
    lean = use_lean_layers(copy.deepcopy(plain))
    plain, lean = (module.eval().requires_grad_(False) for module in (plain, lean))
    x = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = {}
    for name, module in {"lean": lean, "plain": plain}.items():
        network = module.to(memory_format=torch.channels_last)
        own = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            (slope,) = torch.autograd.grad(network(own).float().square().sum(), own)
            found[name] = slope, kept(network, own)
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    gap = (found["lean"][0] - found["plain"][0]).norm() / found["plain"][0].norm()
    assert gap < tolerance
    if dtype == torch.float32:
        assert found["lean"][1] < 0.7 * found["plain"][1]


@pytest.mark.parametrize("bias", [False, True])
def test_kernels_in_half_precision_are_those_that_autocast_rounds(bias):
    """The same bits under autocast; without it, in the precision of the images."""
    kernels = nn.Sequential(nn.Conv2d(4, 6, 3, bias=bias), nn.Conv2d(6, 6, 3, groups=2, bias=bias))
    kernels.eval().requires_grad_(False)
    lean = use_lean_layers(copy.deepcopy(kernels), half=True)
    assert {parameter.dtype for parameter in lean.parameters()} == {torch.bfloat16}
    found = []
    for network in (kernels, lean):
        x = images().float().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        found.append((y, *torch.autograd.grad(y.float().square().sum(), x)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    apart = lean(images().float())
    assert apart.dtype == torch.float32
    torch.testing.assert_close(apart, kernels(images().float()), rtol=0.05, atol=0.05)
    x = images().float().requires_grad_(True)
    lean(x).square().sum().backward()
    assert x.grad is not None


def test_a_network_that_learns_keeps_its_precision():
    lean = use_lean_layers(nn.Sequential(nn.Conv2d(4, 6, 3)), half=True)
    assert lean[0].weight.dtype == torch.float32
