"""FKD's stored labels: students see the stored views again, with the labels of those views."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as pil
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.recipe import Augmentation
from ddbench.data.stored_set import Replayed, open_stored_views
from ddbench.store.records import Records
from ddbench.testing import check_part
from ddbench.training.batches import Stream, to_stored_views
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from ddbench_plugins.labellers.fkd import FKD
from ddbench_plugins.labellers.mse_gt import MseGt
from ddbench_plugins.labellers.soft import Soft
from tests.whole.test_bad_input import refused

CPU = ["--device", "cpu", "--precision", "fp32"]
MIXES = [
    Augmentation(mix="cutmix"),
    Augmentation(mix="mixup", mix_alpha=0.8),
    Augmentation(mix="none"),
    Augmentation(mix="cutmix", crop=(1.0, 1.0), flip=False),
]


def labelled(info: Any, how: Augmentation) -> tuple[Stream, PortableSet]:
    """A stream over ten images in batches of 4, 3 and 3, and its set with labels of two epochs."""
    rng = torch.Generator().manual_seed(0)
    stream = Stream(
        images=torch.randint(256, (10, *info.shape), generator=rng, dtype=torch.uint8),
        labels=torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2]),
        weights=torch.rand(10, generator=rng) + 0.1, info=info, augmentation=how, batch_size=4,
        seed=5,
    )  # fmt: skip
    epochs = [
        [replace(views, answers=torch.randn(len(views.rows), 3, generator=rng).half())
         for views in stream.views(epoch)] for epoch in range(2)
    ]  # fmt: skip
    whole = PortableSet(
        images=stream.images, labels=stream.labels, weights=stream.weights, pixels="bytes",
        views=to_stored_views(epochs, info.shape[1:]), card={"classes": list(info.classes)},
    )  # fmt: skip
    return stream, whole


@pytest.mark.parametrize("how", MIXES, ids=["cutmix", "mixup", "unmixed", "uncropped"])
def test_what_was_written_is_shown_again(info: Any, how: Augmentation, tmp_path: Path) -> None:
    """Images, classes, weights, partners and shares as they were drawn, labels bit for bit; after
    the last epoch the first one comes again."""
    stream, whole = labelled(info, how)
    SRe2LFolders().write(whole, tmp_path / "set")
    found = check_set(SRe2LFolders().read(tmp_path / "set"), "it")
    other = replace(stream, stored=found.views, seed=99, batch_size=7, augmentation=MIXES[1])
    assert other.steps == stream.steps == 3
    for epoch in range(5):
        start = 0
        pairs = zip(stream.epoch(epoch % 2), other.epoch(epoch), strict=True)
        for drawn, shown in pairs:
            torch.testing.assert_close(shown.images, drawn.images, rtol=0, atol=1e-5)
            for name in ("labels", "weights", "indices", "partner_labels", "partner_indices"):
                assert torch.equal(getattr(shown, name), getattr(drawn, name)), name
            assert shown.share == pytest.approx(drawn.share, abs=1e-12)
            end = start + len(shown.labels)
            assert torch.equal(shown.answers.half(), whole.views.logits[epoch % 2, start:end])
            start = end
    assert not torch.equal(whole.views.logits[0], whole.views.logits[1])


# -- files as the released code writes them --------------------------------------------------------


class Folder(Dataset):
    """Images of a folder in the order of their names, each cropped and flipped as it is read."""

    def __init__(self, files: list[Path], rng: torch.Generator) -> None:
        self.files, self.rng = files, rng

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        image = Image.open(self.files[index])
        side = image.size[0]
        height, width = torch.randint(5, side + 1, (2,), generator=self.rng).tolist()
        top = int(torch.randint(side - height + 1, (1,), generator=self.rng))
        left = int(torch.randint(side - width + 1, (1,), generator=self.rng))
        view = pil.resized_crop(image, top, left, height, width, [side, side])
        flip = bool(torch.rand(1, generator=self.rng) < 0.5)
        view = pil.hflip(view) if flip else view
        crop = torch.FloatTensor([top / side, left / side, height / side, width / side])
        return pil.to_tensor(view), flip, crop


def teacher(images: torch.Tensor) -> torch.Tensor:
    """Some logits that every pixel bears on."""
    rng = torch.Generator().manual_seed(3)
    weights = torch.randn(images[0].numel(), 3, generator=rng) / math.sqrt(images[0].numel())
    return images.flatten(1) @ weights


def relabel(files: list[Path], path: Path, info: Any, seventh: str, kind: str) -> None:
    """Labels of two epochs, by a loader over a sampler that is seeded once."""
    rng = torch.Generator().manual_seed(1)
    sampler = RandomSampler(files, generator=torch.Generator().manual_seed(42))
    order = RandomSampler(files, generator=torch.Generator().manual_seed(42))
    for epoch in range(2):
        (path / f"epoch_{epoch}").mkdir(parents=True)
        places = torch.tensor(list(order)).split(4)
        loader = DataLoader(Folder(files, rng), batch_size=4, sampler=sampler)
        for number, (views, flips, crops) in enumerate(loader):
            images = pil.normalize(views, info.mean, info.std)
            partners, share = torch.randperm(len(images), generator=rng), 0.3
            box = [3, 5, 11, 13] if kind == "cutmix" else None
            if kind == "cutmix":
                images[:, :, 3:11, 5:13] = images[partners, :, 3:11, 5:13].clone()
            else:
                images = share * images + (1 - share) * images[partners]
            batch = [crops, flips, partners, share, box, teacher(images).half()]
            if seventh:
                rows = places[number]
                batch.append(0.5 + rows.float() if seventh == "weights" else rows)
            if seventh == "images and patches":
                batch.append(torch.zeros(len(rows), 2, 2).int())
            torch.save(batch, path / f"epoch_{epoch}" / f"batch_{number}.tar")


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
@pytest.mark.parametrize("seventh", ["", "images", "images and patches", "weights"])
def test_labels_of_the_released_codes_are_those_of_the_views_shown(
    seventh: str, kind: str, info: Any, tmp_path: Path
) -> None:
    """Made by torchvision, a loader and a sampler as SRe2L, G-VBSM, EDC and WMDD have them: the
    teacher gives the stored logits to what students are shown, but for bytes that PIL rounds."""
    _, whole = labelled(info, MIXES[0])
    SRe2LFolders().write(replace(whole, views=None), tmp_path / "images")
    (tmp_path / "images/ddbench.json").unlink()
    files = sorted((tmp_path / "images").rglob("*.png"))
    relabel(files, tmp_path / "FKD", info, seventh, kind)
    found = check_set(SRe2LFolders().read(tmp_path), "it")
    assert found.card["labels"] == "fkd"
    stream = Stream(
        images=found.images, labels=found.labels, weights=found.weights_or_equal(), info=info,
        augmentation=MIXES[2], batch_size=100, seed=0, stored=found.views,
    )  # fmt: skip
    for epoch in range(2):
        for batch in stream.epoch(epoch):
            torch.testing.assert_close(teacher(batch.images), batch.answers, rtol=0, atol=0.05)
            wrong = teacher(batch.images.roll(1, 0)) - batch.answers
            assert wrong.abs().max() > 0.2
            assert batch.share == (0.75 if kind == "cutmix" else 0.3)
    if seventh == "weights":
        assert found.weights.tolist() == [0.5 + row for row in range(10)]
        with pytest.raises(DDBenchError, match="one weight in an epoch and another one"):
            SRe2LFolders(seed=43).read(tmp_path)
    if seventh.startswith("images"):
        assert torch.equal(SRe2LFolders(seed=43).read(tmp_path).views.rows, found.views.rows)
    SRe2LFolders().write(found, tmp_path / "again")
    (again,) = (tmp_path / "again" / "FKD" / "epoch_0").glob("batch_0.tar")
    assert len(torch.load(again, weights_only=True)) == 6  # as SRe2L's code takes them


def test_images_in_another_order_keep_their_labels(info: Any) -> None:
    stream, whole = labelled(info, MIXES[0])
    order = torch.tensor([7, 0, 4, 1, 8, 5, 2, 9, 6, 3])
    places = order.argsort()
    turned = replace(
        whole, images=whole.images[order], labels=whole.labels[order],
        weights=whole.weights[order], views=replace(whole.views, rows=places[whole.views.rows]),
    ).sort_by_class()  # fmt: skip
    shown = replace(stream, images=turned.images, weights=turned.weights, stored=turned.views)
    for drawn, again in zip(stream.epoch(0), shown.epoch(0), strict=True):
        torch.testing.assert_close(again.images, drawn.images, rtol=0, atol=1e-5)
        assert torch.equal(again.weights, drawn.weights)


# -- the labeller ----------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [FKD(temperature=4.0), MseGt()])
def test_the_loss_is_that_of_a_teacher_who_is_asked(info: Any, told: Any) -> None:
    stream, whole = labelled(info, MIXES[0])
    labeller = open_stored_views(whole, told)
    assert isinstance(labeller, Replayed)
    assert check_part("labeller", "replayed", labeller) == []
    assert (labeller.asks, labeller.epochs) == ("nobody", 2)
    stored = whole.views.tensors().values()
    assert labeller.kept_bytes == sum(t.numel() * t.element_size() for t in stored)
    for batch in replace(stream, stored=labeller.views).epoch(1):
        student = torch.randn(len(batch.labels), 3)
        expected = told.loss(student, replace(batch, answers=None), batch.answers)
        assert labeller.loss(student, batch, None).item() == expected.item()


def test_other_views_are_another_label_source(info: Any) -> None:
    _, whole = labelled(info, MIXES[0])
    first = open_stored_views(whole, FKD())
    for change in ({"flips": ~whole.views.flips}, {"logits": whole.views.logits + 1}):
        assert (
            open_stored_views(replace(whole, views=replace(whole.views, **change)), FKD()) != first
        )
    with pytest.raises(DDBenchError, match="cannot be told as 'Soft' tells"):
        open_stored_views(whole, Soft())
    with pytest.raises(DDBenchError, match="of 3 classes, the set has 4"):
        open_stored_views(replace(whole, card={"classes": list("abcd")}), FKD())


# -- labels of other images ------------------------------------------------------------------------


def test_labels_that_belong_to_other_images_are_noticed(info: Any) -> None:
    stream, whole = labelled(info, MIXES[2])
    epochs = [
        [replace(v, answers=torch.eye(3)[stream.labels[v.rows]]) for v in stream.views(epoch)]
        for epoch in range(100)
    ]
    views = to_stored_views(epochs, info.shape[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_set(replace(whole, views=views), "it")
    rows = torch.cat([views.rows[:1], views.rows[1:].roll(1, 0)])  # as another sampler goes on
    with pytest.warns(DDBenchWarning, match="They seem to belong to other images"):
        check_set(replace(whole, views=replace(views, rows=rows)), "it")


# -- from end to end -------------------------------------------------------------------------------


def test_an_exported_run_gives_its_numbers_again(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path
) -> None:
    flags = ["--method", "random", "--ipc", 3, "--labels", "fkd", "--set", "relabel.temperature=5"]
    assert ddbench("run", *flags, "--set", "relabel.store=true", *tiny).code == 0
    made = Records(tmp_path / "cache" / "records").all()
    (record,) = [record for record in made if record.method == "random"]
    protocol = ["--protocol", tiny[tiny.index("--protocol") + 1], "--seeds", 1, *CPU]
    for form in ("sre2l", "ddbench"):
        path, cache = tmp_path / form, tmp_path / "judged" / form
        done = ddbench("export", record.key, path, "--format", form)
        assert done.code == 0, done.err
        assert "labels of 2 epochs of views" in done.out
        judged = ddbench("eval", path, *protocol, "--cache", cache)
        assert judged.code == 0, judged.err
        assert "2 stored epochs of views, in batches of 10" in judged.err
        (again,) = Records(cache / "records").all()
        assert again.metrics == record.metrics
        assert (again.labels, again.teacher_bytes) == ("replayed", 0)
        name, told = again.configuration["recipe"]["labeller"]
        assert name == "ddbench.distilled:Replayed/1"
        assert (told["epochs"], told["told"][1]["temperature"]) == (2, 5)
        assert {cost.stage for cost in again.costs} == {"recover", "evaluate"}  # no teacher
    hard = tmp_path / "hard.pt"
    refused(ddbench("export", record.key, hard, "-f", "dc"), "files of DC's family hold hard")
    assert ddbench("export", record.key, hard, "-f", "dc", "--no-views").code == 0
    refused(ddbench("eval", hard, "--labels", "stored", *protocol), f"{hard} holds no labels")
    crossed = ["--arch", "convnet3", "--protocol", "wmdd", *CPU]
    refused(ddbench("eval", path, *crossed), "protocol 'wmdd' holds images out", "--labels hard")
    folders = tmp_path / "sre2l"
    judged = ddbench("eval", folders, *protocol, "--labels", "hard")
    assert judged.code == 0, judged.err
    assert "stored epochs" not in judged.err
    (folders / "FKD" / "epoch_1" / "batch_2.tar").unlink()
    labels = folders / "FKD"
    refused(ddbench("eval", folders), f"{labels}: epoch 1 labels 20 images in 2 batches")
