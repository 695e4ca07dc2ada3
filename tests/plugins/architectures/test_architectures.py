"""Networks: shapes at every size, what the classifier sees, and first layers."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.api.roles import Architecture
from ddbench.api.types import DatasetInfo, Network
from ddbench_plugins.architectures import convnet, resnet, timm
from ddbench_plugins.architectures.convnet import ConvNetD, first_padding
from ddbench_plugins.architectures.resnet import ResNet, stem_for
from ddbench_plugins.architectures.timm import Timm, VisionTransformer, patch_for

READY = {
    **resnet.ddbench_architectures(),
    **convnet.ddbench_architectures(),
    **{name: part for name, part in timm.ddbench_architectures().items() if name != "timm"},
}

REFUSED = (DDBenchError, TypeCheckError)
"""The latter comes first where a test run checks annotations."""


def info(resolution: int, channels: int = 3, classes: tuple[str, ...] = tuple("abcde")):
    return DatasetInfo(
        name=f"made@{resolution}",
        classes=classes,
        shape=(channels, resolution, resolution),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        train_counts=(10,) * len(classes),
        test_counts=(5,) * len(classes),
        fingerprint="0",
    )


def allowed(name: str, resolution: int) -> bool:
    return not name.startswith("convnet") or resolution >> int(name[7]) > 0


@pytest.mark.parametrize("resolution", [8, 32, 64])
@pytest.mark.parametrize("name", READY)
def test_logits_come_from_the_classifier_alone(name: str, resolution: int):
    part = READY[name]
    assert isinstance(part, Architecture)
    if not allowed(name, resolution):
        with pytest.raises(IncompatibleError, match="too deep"):
            part.build(info(resolution))
        return
    torch.manual_seed(0)
    module = part.build(info(resolution)).eval()
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
        return READY[name].build(info(16)).state_dict()

    first, again, other = built(1), built(1), built(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ["resnet18", "convnet3", "vit_tiny"])
def test_grey_images(name: str):
    module = READY[name].build(info(8, channels=1)).eval()
    assert module.training is False
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_networks_come_ready_for_training():
    for name in ("resnet18", "convnet3", "vit_tiny"):
        assert all(module.training for module in READY[name].build(info(8)).modules())


# -- resnet ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "resolution", "kernel", "stride", "padding", "pooled"),
    [
        ("auto", 8, 3, 1, 1, False),
        ("auto", 32, 3, 1, 1, False),
        ("auto", 63, 3, 1, 1, False),
        ("auto", 64, 7, 2, 3, True),
        ("auto", 224, 7, 2, 3, True),
        ("small", 224, 3, 1, 1, False),
        ("imagenet", 32, 7, 2, 3, True),
        ("tiny_imagenet", 224, 3, 2, 3, False),
    ],
)
def test_stem(stem, resolution: int, kernel: int, stride: int, padding: int, pooled: bool):
    module = ResNet(18, stem=stem).build(info(resolution))
    conv = module.conv1
    assert (conv.kernel_size, conv.stride, conv.padding) == (
        (kernel, kernel),
        (stride, stride),
        (padding, padding),
    )
    assert conv.bias is None
    assert isinstance(module.maxpool, nn.MaxPool2d if pooled else nn.Identity)


def test_tiny_imagenet_stem_makes_114_of_224():
    conv = ResNet(18, stem="tiny_imagenet").build(info(224)).conv1
    assert conv(torch.zeros(1, 3, 224, 224)).shape == (1, 64, 114, 114)


def test_resnet_equals_torchvisions_at_224():
    from torchvision.models import resnet18

    torch.manual_seed(3)
    ours = ResNet(18).build(info(224))
    torch.manual_seed(3)
    theirs = resnet18(num_classes=5)
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


def test_resnet_says_what_it_does_not_know():
    with pytest.raises(DDBenchError, match="unknown depth 20"):
        ResNet(20).build(info(32))
    with pytest.raises(REFUSED, match="big"):
        stem_for("big", 32)  # pyright: ignore


def test_pretrained_needs_imagenets_classes():
    with pytest.raises(IncompatibleError, match="does not fit") as caught:
        ResNet(18, pretrained=True).build(info(224))
    assert "no WNID of ImageNet-1K: a, b, c, d, e" in str(caught.value)


def test_pretrained_keeps_the_rows_of_the_classes(monkeypatch: pytest.MonkeyPatch):
    import torchvision.models

    whole = torchvision.models.resnet18(num_classes=1000)
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: whole)
    bias = whole.fc.bias.detach().clone()
    built = ResNet(18, pretrained=True).build(info(224, classes=("n01443537", "n01440764")))
    torch.testing.assert_close(built.fc.bias.detach(), bias[[1, 0]])
    assert built.fc.weight.shape == (2, 512)


def test_pretrained_without_network(monkeypatch: pytest.MonkeyPatch):
    import torchvision.models

    def offline(name: str, weights: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(DDBenchError, match="could not download the weights of resnet18"):
        ResNet(18, pretrained=True).build(info(224, classes=("n01440764", "n01443537")))


# -- convnet -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "resolution", "channels", "features"),
    [(3, 32, 3, 2048), (4, 64, 3, 2048), (3, 28, 1, 2048), (3, 28, 3, 1152), (3, 8, 1, 128)],
)
def test_convnet_feature_dimension(depth: int, resolution: int, channels: int, features: int):
    module = ConvNetD(depth).build(info(resolution, channels))
    assert module.classifier.in_features == features
    assert module(torch.zeros(2, channels, resolution, resolution)).shape == (2, 5)


def test_first_padding_is_3_for_mnist_alone():
    assert [first_padding(s) for s in ((1, 28, 28), (3, 28, 28), (1, 8, 8))] == [3, 1, 1]


def test_convnet_norms():
    batch = Network(ConvNetD(3, norm="batch").build(info(32)), "classifier")
    instance = Network(ConvNetD(3).build(info(32)), "classifier")
    assert len(batch.norm_layers()) == 3
    assert instance.norm_layers() == ()
    groups = [m for m in instance.module.modules() if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels, m.affine) for m in groups] == [(128, 128, True)] * 3


def test_group_norm_of_one_channel_is_instance_norm():
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(nn.GroupNorm(4, 4)(x), nn.InstanceNorm2d(4)(x))


def test_convnet_says_which_depth_fits():
    with pytest.raises(IncompatibleError) as caught:
        ConvNetD(4).build(info(8))
    assert "images of 8 pixels can be halved 3 times" in str(caught.value)
    assert "made@16" in caught.value.hint
    with pytest.raises(REFUSED, match="layer"):
        ConvNetD(3, norm="layer").build(info(32))  # pyright: ignore


# -- timm --------------------------------------------------------------------------------------


def test_patches_divide_the_image():
    assert {r: patch_for(r) for r in (1, 8, 16, 28, 32, 64, 100, 224)} == {
        1: 1,
        8: 4,
        16: 4,
        28: 4,
        32: 4,
        64: 16,
        100: 20,
        224: 16,
    }


def test_timm_network_by_name():
    part = Timm("mobilenetv3_small_050")
    module = part.build(info(32, channels=1))
    layer = dict(module.named_modules())[part.classifier(module)]
    assert isinstance(layer, nn.Linear)
    assert layer.out_features == 5
    assert all(m.training for m in module.modules())


def test_timm_network_of_fixed_size_is_told_the_size():
    module = Timm("vit_tiny_patch16_224").build(info(32))
    assert module.patch_embed.img_size == (32, 32)


def test_timm_trial_leaves_generator_and_statistics_alone():
    import timm as library

    torch.manual_seed(0)
    ours = Timm("mobilenetv3_small_050").build(info(32)).state_dict()
    torch.manual_seed(0)
    theirs = library.create_model("mobilenetv3_small_050", num_classes=5).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_timm_names_near_ones():
    with pytest.raises(DDBenchError) as caught:
        Timm("resnet81")
    assert caught.value.problem == "unknown timm network 'resnet81'"
    assert "resnet18" in caught.value.facts[0]
    assert len(caught.value.facts[0]) < 300
    assert "did you mean" in caught.value.hint


def test_timm_network_that_does_not_take_the_images():
    with pytest.raises(IncompatibleError, match="'convnext_atto' does not take the images"):
        Timm("convnext_atto").build(info(8))


def test_timm_network_with_two_classifiers():
    with pytest.raises(IncompatibleError, match="no single classifier"):
        Timm("deit_tiny_distilled_patch16_224").build(info(32))


def test_vision_transformer_patch_can_be_chosen():
    module = VisionTransformer(patch=8).build(info(32))
    assert module.patch_embed.num_patches == 16
