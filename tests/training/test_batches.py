"""The stream of training batches: a function of (seed, epoch, index), nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ddbench.api.recipe import Augmentation
from ddbench.training.batches import Stream, normalise


def _stream(info, count=23, **changes):
    images = torch.randint(0, 256, (count, *info.shape), dtype=torch.uint8)
    stream = Stream(
        images=images,
        labels=torch.arange(count) % 3,
        weights=torch.rand(count) + 0.1,
        info=info,
        augmentation=Augmentation(),
        batch_size=5,
        seed=3,
    )
    return replace(stream, **changes)


def test_an_epoch_shows_every_image_once_in_nearly_equal_batches(info):
    batches = list(_stream(info).epoch(0))
    assert sorted(torch.cat([b.indices for b in batches]).tolist()) == list(range(23))
    assert {len(b.indices) for b in batches} == {4, 5}
    assert len(batches) == _stream(info).steps


@pytest.mark.parametrize("crop", [(1.0, 1.0), (0.3, 0.8)])
@pytest.mark.parametrize("mix", ["none", "cutmix", "mixup"])
def test_channels_are_last_however_images_are_varied(info, crop, mix):
    """Images decide the layout of a whole network on a CPU."""
    info = replace(info, shape=(3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3)
    stream = _stream(info, augmentation=Augmentation(crop=crop, mix=mix))
    for batch in stream.epoch(0):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_the_same_epoch_is_the_same_and_another_is_not(info):
    stream = _stream(info)
    one, two, other = (list(stream.epoch(e)) for e in (4, 4, 5))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0].indices, other[0].indices)


def test_the_draw_of_an_image_does_not_depend_on_the_batch_size(info):
    plain = Augmentation(mix="none")
    small, large = (_stream(info, augmentation=plain, batch_size=b) for b in (5, 23))
    torch.manual_seed(0)
    large = replace(large, images=small.images)
    rows_a = torch.cat([b.images for b in small.epoch(2)])
    rows_b = torch.cat([b.images for b in large.epoch(2)])
    torch.testing.assert_close(rows_a, rows_b)


def test_labels_belong_to_their_images_and_weights_have_mean_one(info):
    stream = _stream(info)
    for batch in stream.epoch(1):
        assert torch.equal(batch.labels, stream.labels[batch.indices])
        assert torch.equal(batch.partner_labels, stream.labels[batch.partner_indices])
        torch.testing.assert_close(batch.weights.mean(), torch.tensor(1.0))
        own = stream.weights[batch.indices]
        torch.testing.assert_close(batch.weights, own / own.mean())


def test_data_that_may_not_be_mirrored_is_not(info):
    image = torch.arange(16, dtype=torch.uint8).repeat(3, 16, 1)[None].repeat(8, 1, 1, 1)
    still = Augmentation(crop=(1.0, 1.0), ratio=(1.0, 1.0), mix="none")
    stream = _stream(replace(info, mirror=False), 8, augmentation=still)
    stream = replace(stream, images=image)
    for batch in stream.epoch(0):
        torch.testing.assert_close(
            batch.images, normalise(image[batch.indices], info), rtol=1e-4, atol=1e-5
        )


def test_bytes_and_unit_pixels_normalise_alike(info):
    images = torch.randint(0, 256, (2, *info.shape), dtype=torch.uint8)
    torch.testing.assert_close(normalise(images, info), normalise(images.float() / 255, info))
    value = normalise(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8), info)[0, :, 0, 0]
    torch.testing.assert_close(value, torch.tensor([0.5 / 0.2, 0.6 / 0.25, 0.7 / 0.3]))


def test_no_number_of_a_batch_is_asked_back_from_the_device(info):
    """A GPU would have to be waited for; a tensor without numbers has none to tell."""
    for batch in _stream(info, device="meta").epoch(0):
        assert batch.images.device.type == "meta"
