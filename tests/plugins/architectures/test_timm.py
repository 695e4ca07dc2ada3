"""Networks of timm: names, sizes, patches, what does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddbench.api.errors import DDBenchError, IncompatibleError
from ddbench.testing import tiny_info
from ddbench_plugins.architectures.timm import Timm, VisionTransformer, choose_patch


def test_patches_divide_the_image():
    assert {r: choose_patch(r) for r in (1, 8, 16, 28, 32, 64, 100, 224)} == {
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
    module = part.build(tiny_info(5, 32, channels=1))
    layer = dict(module.named_modules())[part.classifier(module)]
    assert isinstance(layer, nn.Linear)
    assert layer.out_features == 5
    assert all(m.training for m in module.modules())


def test_timm_network_of_fixed_size_is_told_the_size():
    module = Timm("vit_tiny_patch16_224").build(tiny_info(5, 32))
    assert module.patch_embed.img_size == (32, 32)


def test_timm_trial_leaves_generator_and_statistics_alone():
    import timm as library

    torch.manual_seed(0)
    ours = Timm("mobilenetv3_small_050").build(tiny_info(5, 32)).state_dict()
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
        Timm("convnext_atto").build(tiny_info(5, 8))


def test_timm_network_with_two_classifiers():
    with pytest.raises(IncompatibleError, match="no single classifier"):
        Timm("deit_tiny_distilled_patch16_224").build(tiny_info(5, 32))


def test_vision_transformer_patch_can_be_chosen():
    module = VisionTransformer(patch=8).build(tiny_info(5, 32))
    assert module.patch_embed.num_patches == 16
