"""Features: one vector an image, from any layer, and those of a class with the real ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.errors import DDBenchError
from ddbench.api.features import FeatureMatcher, Features, PooledFeatures, feature_tap
from ddbench.api.types import Activations, Step
from ddbench.nn.probe import Probe
from ddbench.runtime.context import Context
from ddbench.testing import tiny_info, tiny_network, tiny_real
from ddbench.testing.fakes import tiny_step


class Gap(FeatureMatcher):
    """Compares means of features."""

    def loss(self, step: Step) -> torch.Tensor:
        gaps = [each.synthetic.mean(0) - each.real.mean(0) for each in self.split_by_class(step)]
        return torch.stack(gaps).square().sum()


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 5, 3, 4), (2, 3)), ((2, 3, 5), (1,)), ((2, 5), ())]
)
def test_positions_are_averaged(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    found = PooledFeatures().reduce(x)["features"]
    torch.testing.assert_close(found, x.mean(axes) if axes else x)
    assert found.shape == (2, 5)


def test_half_precision_is_averaged_in_float32() -> None:
    x = torch.full((1, 1, 64, 64), 0.1).bfloat16()
    found = PooledFeatures().reduce(x)["features"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x.float().mean((2, 3)))


def test_a_tap_is_of_the_classifiers_input_or_of_a_layers_output() -> None:
    network = tiny_network()
    images, _ = tiny_real(tiny_info())
    layer = next(name for name, m in network.module.named_modules() if m is not network.module)
    taps = (feature_tap(network), feature_tap(network, layer))
    with Probe(network, taps, Context()) as probe:
        acts = probe(images[:4])
    penultimate, early = (acts.taps[tap]["features"] for tap in taps)
    classifier = network.module.get_submodule(network.classifier)
    torch.testing.assert_close(classifier(penultimate), acts.logits)
    torch.testing.assert_close(early, network.module.get_submodule(layer)(images[:4]).mean((2, 3)))
    with pytest.raises(DDBenchError, match="unknown layer 'fcc'"):
        feature_tap(network, "fcc")


def test_features_of_chunks_are_put_together_in_the_order_seen() -> None:
    network, part = tiny_network(), Features()
    (tap,) = part.taps(network)
    rows, labels = torch.randn(2600, 3), torch.arange(2600)
    state = part.start(network, tiny_info())
    for chunk, own in zip(rows.split(2), labels.split(2), strict=True):  # more than 1,000 chunks
        acts = Activations(torch.zeros(len(own), 3), {tap: {"features": chunk}})
        state = part.update(state, acts, own)
    found = part.finish(state)
    assert torch.equal(found["features"], rows)
    assert torch.equal(found["labels"], labels)


def test_a_matcher_is_given_the_features_of_each_class_with_its_real_ones() -> None:
    step = tiny_step(part := Gap())
    features, known = part.features(step), step.known[Features()]
    classes = list(part.split_by_class(step))
    assert [each.cls for each in classes] == step.labels.unique().tolist()
    for each in classes:
        assert torch.equal(each.synthetic, features[step.labels == each.cls])
        assert torch.equal(each.real, known["features"][known["labels"] == each.cls])
        assert each.weights is not None
        torch.testing.assert_close(each.shares().sum(), torch.tensor(1.0))
        torch.testing.assert_close(
            each.shares(), (w := step.weights[step.labels == each.cls]) / w.sum()
        )
    shares = next(part.split_by_class(step, weighted=False)).shares()
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(shares)))
    assert part.loss(step).requires_grad
    assert replace(part, layer="fc").statistics == (Features(layer="fc"),)
