"""Every registered network: shapes at every size, what the classifier sees, first weights."""

from __future__ import annotations

import pytest
import torch

from ddbench.api.errors import IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.testing import tiny_info
from ddbench_plugins.architectures import convnet, resnet, timm

READY = {
    **resnet.ddbench_architectures(),
    **convnet.ddbench_architectures(),
    **{name: part for name, part in timm.ddbench_architectures().items() if name != "timm"},
}


def allowed(name: str, resolution: int) -> bool:
    return not name.startswith("convnet") or resolution >> int(name[7]) > 0


@pytest.mark.parametrize("resolution", [8, 32, 64])
@pytest.mark.parametrize("name", READY)
def test_logits_come_from_the_classifier_alone(name: str, resolution: int):
    part = READY[name]
    assert isinstance(part, Architecture)
    if not allowed(name, resolution):
        with pytest.raises(IncompatibleError, match="too deep"):
            part.build(tiny_info(5, resolution))
        return
    torch.manual_seed(0)
    module = part.build(tiny_info(5, resolution)).eval()
    layer = dict(module.named_modules())[part.classifier(module)]
    seen = []
    layer.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    with torch.no_grad():
        logits = module(torch.randn(2, 3, resolution, resolution))
    ((features, out),) = seen
    assert logits.shape == (2, 5)
    assert features.shape == (2, layer.in_features)
    torch.testing.assert_close(logits, out)
    torch.testing.assert_close(features @ layer.weight.T + layer.bias, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "convnet3", "convnet3_bn", "vit_tiny"])
def test_initial_weights_follow_torchs_generator(name: str):
    def built(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return READY[name].build(tiny_info(5, 16)).state_dict()

    first, again, other = built(1), built(1), built(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ["resnet18", "convnet3", "vit_tiny"])
def test_grey_images(name: str):
    module = READY[name].build(tiny_info(5, 8, channels=1)).eval()
    assert module.training is False
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_networks_come_ready_for_training():
    for name in ("resnet18", "convnet3", "vit_tiny"):
        assert all(module.training for module in READY[name].build(tiny_info(5, 8)).modules())
