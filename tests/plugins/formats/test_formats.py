"""Formats of distilled sets: exact round trips, released files, and files that would do harm."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError
from ddbench.testing.formats import differences, tiny_sets
from ddbench_plugins.formats._safe_load import load
from ddbench_plugins.formats.dc_tensors import DCTensors
from ddbench_plugins.formats.ddbench_set import DDBenchSet
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from ddbench_plugins.formats.tensor_files import DDRankingFiles, MTTFiles

MTT = MTTFiles()
WEIGHT = st.floats(0, 1, width=32, allow_subnormal=False)
RATE = st.one_of(st.floats(2**-20, 8, width=32), st.floats(1e-6, 10))


@st.composite
def sets(draw: st.DrawFn) -> PortableSet:
    """Bytes of any value, classes in any order and number, weights, perhaps a step size."""
    classes, channels, side = draw(st.integers(2, 4)), draw(st.sampled_from([1, 3])), 4
    labels = [*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=4))]
    labels = draw(st.permutations(labels))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (len(labels), channels, side, side)
    return PortableSet(
        images=torch.randint(256, shape, generator=rng, dtype=torch.uint8),
        labels=torch.tensor(labels),
        weights=torch.tensor([draw(WEIGHT) for _ in labels]),
        pixels="bytes",
        mean=tuple(draw(st.floats(0.1, 0.9)) for _ in range(channels)),
        std=tuple(draw(st.floats(0.05, 0.5)) for _ in range(channels)),
        rate=draw(st.none() | RATE),
        card={"classes": [f"c{i}" for i in range(classes)], "dataset": "d", "method": "m"},
    )


FORMS = [DDBenchSet(), DCTensors(), MTT, SRe2LFolders()]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole=sets())
def test_bytes_labels_weights_and_step_size_come_back_exactly(form, whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("sets") / "set"
    if isinstance(form, SRe2LFolders):  # no place for a step size; images lie by class
        whole = replace(whole, rate=None).by_class()
    form.write(whole, path)
    assert list(differences(whole, check_set(form.read(path), path))) == []


def test_the_order_of_images_does_not_bind_weights_to_others(tmp_path):
    whole = tiny_sets()["bytes"]
    names = ("images", "labels", "weights")
    turned = replace(whole, **{name: getattr(whole, name).flip(0) for name in names})
    SRe2LFolders().write(turned, tmp_path / "set")
    assert list(differences(turned.by_class(), SRe2LFolders().read(tmp_path / "set"))) == []
    assert list(differences(turned, whole)) != []


# -- files as the releases write them --------------------------------------------------------------


def released(path: Path, **more: object) -> tuple[torch.Tensor, torch.Tensor]:
    """As DM's code saves: several experiments, accuracies that are numbers of NumPy."""
    images, labels = torch.randn(20, 3, 32, 32), torch.arange(10).repeat_interleave(2)
    accuracies = {"ConvNet": [np.float64(0.41), np.float64(0.4)]}
    data = [[torch.zeros_like(images), labels], [images, labels]]
    torch.save({"data": data, "accs_all_exps": accuracies, **more}, path)
    return images, labels


def test_a_file_of_dm_says_what_it_is(tmp_path):
    path = tmp_path / "res_DM_CIFAR10_ConvNet_2ipc.pt"
    images, labels = released(path)
    found = check_set(DCTensors(experiment=1).read(path), path)
    assert torch.equal(found.images, images)
    assert torch.equal(found.labels, labels)
    assert found.pixels == "normalised"
    assert (found.mean[0], found.std[2]) == (0.4914, 0.2010)
    assert found.card == {"method": "dm", "dataset": "cifar10", "student": "convnet3",
                          "labels": "hard", "protocol": "dc"}  # fmt: skip
    assert not DCTensors().read(path).images.any()


def test_files_of_datm_hold_learned_labels_and_a_step_size(tmp_path):
    images, soft = torch.randn(6, 3, 8, 8), torch.randn(6, 3)
    torch.save(images, tmp_path / "images_best.pt")
    torch.save(soft, tmp_path / "labels_best.pt")
    torch.save(torch.tensor(0.0123, requires_grad=True), tmp_path / "lr_best.pt")
    found = check_set(MTT.read(tmp_path), tmp_path)
    assert torch.equal(found.soft_labels, soft)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.rate == torch.tensor(0.0123).item()
    assert found.pixels == "unknown"  # nothing says whether it was whitened
    torch.save(0.5, tmp_path / "lr_best.pt")  # as TESLA has it
    torch.save(images.sigmoid(), tmp_path / "images_best.pt")
    assert (MTT.read(tmp_path).rate, MTT.read(tmp_path).pixels) == (0.5, "unit")


def test_what_dd_ranking_takes_as_tensors_and_as_a_folder(tmp_path):
    whole = tiny_sets()["learned labels and step size"]
    DDRankingFiles().write(whole, tmp_path / "set")
    loaded = torch.load(tmp_path / "set" / "images.pt", weights_only=True)
    assert torch.equal(loaded, whole.images)  # as its evaluator takes them: nothing is normalised
    (tmp_path / "set" / "images.pt").unlink()
    (tmp_path / "set/ddbench.json").unlink()
    plain = tiny_sets()["bytes"]
    SRe2LFolders().write(plain, tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / "set" / "images")
    found = DDRankingFiles().read(tmp_path / "set")
    assert torch.equal(found.images, plain.images)
    assert torch.equal(found.soft_labels, whole.soft_labels)
    with pytest.raises(DDBenchError, match="equally many images"):
        DDRankingFiles().write(replace(plain, labels=torch.tensor([0, 0, 0, 1, 2, 2])), tmp_path)


def test_labels_of_one_1_name_their_class_in_any_order(tmp_path):
    torch.save(torch.rand(4, 1, 8, 8), tmp_path / "images_best.pt")
    rows = torch.eye(3)[torch.tensor([2, 0, 1, 2])]
    torch.save(rows, tmp_path / "labels_best.pt")
    found = check_set(MTT.read(tmp_path), tmp_path)
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert torch.equal(found.soft_labels, rows)


def test_floats_say_what_they_cannot_be(tmp_path):
    """Black is below 0 in normalised images, and nothing is as bright as a byte."""
    images, labels = torch.rand(6, 3, 8, 8), torch.arange(3).repeat_interleave(2)
    path = tmp_path / "res.pt"
    for scale, shift, pixels in ((1, 0, "unit"), (2, -1, "normalised"), (2, 0, "normalised")):
        torch.save({"data": [[images * scale + shift, labels]]}, path)
        assert DCTensors().read(path).pixels == pixels
    levels = (images * 255).round()
    torch.save({"data": [[levels, labels]]}, path)
    with pytest.raises(DDBenchError, match=r"its images are floats from \d+ to 255"):
        DCTensors().read(path)
    torch.save(levels, tmp_path / "images_best.pt")
    torch.save(labels, tmp_path / "labels_best.pt")
    with pytest.raises(DDBenchError, match=r"images_best\.pt: its images are floats"):
        MTT.read(tmp_path)


def test_labels_that_contradict_the_folders_of_images_are_refused(tmp_path):
    SRe2LFolders().write(tiny_sets()["bytes"], tmp_path / "images")
    torch.save(torch.tensor([0, 0, 1, 1, 2, 2]), tmp_path / "labels.pt")
    assert DDRankingFiles().read(tmp_path).labels.tolist() == [0, 0, 1, 1, 2, 2]
    torch.save(torch.tensor([2, 2, 1, 1, 0, 0]), tmp_path / "labels.pt")
    with pytest.raises(DDBenchError, match="are not the classes of the folders of images"):
        DDRankingFiles().read(tmp_path)


def test_stored_views_as_sre2l_saves_them(tmp_path):
    """One list a batch; the share and the box are numbers of NumPy."""
    SRe2LFolders().write(tiny_sets()["bytes"], tmp_path / "images")
    for epoch in range(2):
        folder = tmp_path / "FKD" / f"epoch_{epoch}"
        folder.mkdir(parents=True)
        for number, rows in enumerate((4, 2)):
            box = [np.int64(1), np.int64(0), np.int64(5), np.int64(6)]
            logits = torch.full((rows, 3), 10.0 * epoch + number).half()
            views = [torch.rand(rows, 4) / 2, torch.rand(rows) > 0.5, torch.randperm(rows)]
            torch.save([*views, np.float64(0.25), box, logits], folder / f"batch_{number}.tar")
    found = check_set(SRe2LFolders().read(tmp_path), tmp_path)
    views = found.views
    assert views.logits[:, :, 0].tolist() == [[0, 0, 0, 0, 1, 1], [10, 10, 10, 10, 11, 11]]
    assert views.batches == (4, 2)
    assert views.shares.tolist() == [[0.25, 0.25]] * 2
    assert views.boxes[0, 1].tolist() == [1, 0, 5, 6]
    SRe2LFolders().write(found, tmp_path / "again")
    assert list(differences(found, SRe2LFolders().read(tmp_path / "again"))) == []
    batch = tmp_path / "FKD" / "epoch_1" / "batch_1.tar"
    held = torch.load(batch, weights_only=False)
    torch.save([*held, torch.arange(2), torch.ones(2, 2, 2).int()], batch)
    with pytest.raises(DDBenchError, match="the patches of its images were shuffled"):
        SRe2LFolders().read(tmp_path)
    torch.save([*held, torch.arange(3)], batch)
    with pytest.raises(DDBenchError, match=r"a seventh thing of shape \(3,\)"):
        SRe2LFolders().read(tmp_path)
    batch.unlink()
    with pytest.raises(DDBenchError, match="epoch 1 labels 4 images in 1 batches"):
        SRe2LFolders().read(tmp_path)


# -- harm ------------------------------------------------------------------------------------------


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def _torch_load(path: Path) -> object:
    return torch.load(path, weights_only=False)


def _pickle_save(found: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(found, protocol=2))


def _pickle_load(path: Path) -> object:
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("save", "unsafe"), [(torch.save, _torch_load), (_pickle_save, _pickle_load)]
)
def test_a_file_that_would_execute_code_is_refused(save, unsafe, tmp_path):
    path = tmp_path / "res_DM_CIFAR10_ConvNet_1ipc.pt"
    save({"data": [[0, Harm(tmp_path / "done")]]}, path)
    with pytest.raises(DDBenchError, match=r"was refused: loading it would run \S*mkdir"):
        load(path)
    assert not (tmp_path / "done").exists()
    unsafe(path)
    assert (tmp_path / "done").exists()  # it does do harm


def test_a_tensor_that_repeats_itself_does_not_fill_memory(tmp_path):
    path = tmp_path / "res.pt"
    huge = torch.zeros(1).expand(10**6, 3, 1000, 1000)
    torch.save({"data": [[huge, torch.zeros(1)]]}, path)
    with pytest.raises(DDBenchError, match="images claims 12000000000000 bytes in a file of"):
        DCTensors().read(path)


@pytest.mark.parametrize("kept", [0, 10, 300, 1000])
def test_a_truncated_file_is_one_sentence(kept, tmp_path):
    path = tmp_path / "res.pt"
    released(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DDBenchError, match="cannot be read") as caught:
        DCTensors().read(path)
    assert "\n" not in caught.value.problem


WRONG = [
    ({"images": torch.zeros(2, 3, 4)}, r"images are float32 of shape \(2, 3, 4\)"),
    ({"images": torch.full((6, 3, 8, 8), float("nan"))}, "1152 of 1152 numbers of the images"),
    ({"images": torch.zeros(6, 3, 8, 8, dtype=torch.int32)}, "images are int32"),
    ({"labels": torch.zeros(5, dtype=torch.int64)}, "labels are int64 of shape"),
    ({"labels": torch.full((6,), -1)}, "labels are int64"),
    ({"weights": torch.full((6,), -1.0)}, "weights must be 0 or more"),
    ({"soft_labels": torch.zeros(6, 2)}, r"soft labels are float32 of shape \(6, 2\)"),
    ({"mean": (0.5,)}, r"its mean is \(0.5,\)"),
    ({"std": (0.5, 0.0, 0.5)}, "its std is"),
    ({"card": {"classes": ["a"]}}, "labels up to 2 do not fit its classes"),
    ({"pixels": "bits"}, "unknown kind of pixels 'bits'"),
    ({"rate": float("inf")}, "learned step size is inf"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_tensors_that_do_not_fit(change, said):
    whole = tiny_sets()["learned labels and step size"]
    with pytest.raises(DDBenchError, match=said):
        check_set(replace(whole, **change), "it")


def test_folders_of_another_class_order_are_refused(tmp_path):
    form, path = SRe2LFolders(), tmp_path / "set"
    form.write(tiny_sets()["bytes"], path)
    (path / "new000").rename(path / "aside")
    with pytest.raises(DDBenchError, match="folder 'aside' does not fit 3 numbered classes"):
        form.read(path)
    (path / "new001").rename(path / "new000")
    (path / "aside").rename(path / "new001")
    with pytest.raises(DDBenchError, match="named after class 1 and lies in the folder of 0"):
        form.read(path)


def test_a_sidecar_of_other_images_is_refused(tmp_path):
    MTT.write(tiny_sets()["normalised floats"], tmp_path / "set")
    torch.save(torch.zeros(6, 3, 8, 8), tmp_path / "set" / "images_best.pt")
    with pytest.raises(DDBenchError, match=r"ddbench\.json belongs to other images"):
        MTT.read(tmp_path / "set")
    beside = tmp_path / "set/ddbench.json"
    beside.write_text(json.dumps({"images_sha256": ""}))
    with pytest.raises(DDBenchError, match=r"ddbench\.json cannot be read: KeyError"):
        MTT.read(tmp_path / "set")
