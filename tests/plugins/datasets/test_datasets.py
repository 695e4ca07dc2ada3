"""Data sets: layouts, order, splits, fingerprints, scaling, and what is said when wrong."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench_plugins.datasets import cifar, digits, fashion_mnist, folder, imagenet, tiny_imagenet
from ddbench_plugins.datasets._class_folders import class_files, scan
from ddbench_plugins.datasets._images import Frame, decode, fit
from ddbench_plugins.datasets.cifar import CIFAR10, CIFAR100, Cifar
from ddbench_plugins.datasets.digits import Digits
from ddbench_plugins.datasets.fashion_mnist import FashionMnist, read_idx
from ddbench_plugins.datasets.folder import ImageFolder, hold_out, own_side
from ddbench_plugins.datasets.imagenet import IMAGENETTE_TITLES, ImageNet1k, Imagenette, photographs
from ddbench_plugins.datasets.tiny_imagenet import TinyImageNet

WNIDS = tuple(IMAGENETTE_TITLES)
READY: Mapping[str, Dataset] = {
    name: part
    for module in (cifar, digits, fashion_mnist, folder, imagenet, tiny_imagenet)
    for name, part in module.ddbench_datasets().items()
}


def draw(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """Writes an image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def lay_out(base: Path, classes, counts: Mapping[str, int], suffix: str = "png", **how) -> None:
    """Class folders: `counts` images of each class in each of its splits."""
    seed = 0
    for split, count in counts.items():
        for name in classes:
            for index in range(count):
                seed += 1
                draw(base / split / name / f"{index:03d}.{suffix}", seed, **how)


def all_of(dataset: Dataset, split, root: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
    chunks = list(dataset.read(split, root))
    return torch.cat([images for images, _ in chunks]), torch.cat([labels for _, labels in chunks])


def real_root(*names: str) -> Path:
    """DDBENCH_DATA, or a skip that says what it lacks."""
    named = os.environ.get("DDBENCH_DATA", "")
    for name in names:
        if not named or not (Path(named) / name).is_dir():
            pytest.skip(f"DDBENCH_DATA={named or '(not set)'} does not hold {name}")
    return Path(named)


# -- all of them -------------------------------------------------------------------------------


def test_ready_parts_are_data_sets():
    assert set(READY) == {
        *("cifar10", "cifar100", "digits", "fashion_mnist", "folder"),
        *("imagenet1k", "imagenette", "tiny_imagenet"),
    }
    assert all(isinstance(part, Dataset) and part.resolution == 0 for part in READY.values())


@pytest.mark.parametrize(
    "name", ["cifar10", "cifar100", "imagenet1k", "imagenette", "tiny_imagenet"]
)
@pytest.mark.parametrize("given", [False, True])
def test_absent_data_says_what_is_expected(name: str, given: bool, tmp_path: Path):
    root = tmp_path if given else None
    for ask in (READY[name].info, lambda root: READY[name].read("train", root)):
        with pytest.raises(DDBenchError) as caught:
            ask(root)
        assert caught.value.problem == f"data set '{name}' needs its images"
        assert str(tmp_path) in str(caught.value) or not given
        assert "expected: " in str(caught.value)
        assert "DDBENCH_DATA=DIR" in caught.value.hint
    with pytest.raises(DDBenchError, match="needs its images"):
        READY[name].prepare(root, download=False)


def test_resolution_below_0_is_refused():
    with pytest.raises(DDBenchError, match="resolution -1"):
        Digits(resolution=-1).info(None)


# -- scaling -----------------------------------------------------------------------------------


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(300, 261), (261, 400), (500, 500), (225, 224)])
def test_photographs_equal_torchvisions_resize_and_crop(size: tuple[int, int]):
    from torchvision.transforms import CenterCrop, Resize

    image = noise(*size)
    ours = np.asarray(fit(image, photographs(224)))
    theirs = np.asarray(CenterCrop(224)(Resize(256)(image)))
    np.testing.assert_array_equal(ours, theirs)


def test_square_photographs_are_scaled_whole():
    image = noise(224, 224)
    assert fit(image, photographs(224)).tobytes() == image.tobytes()
    boxes = np.asarray(image, dtype=float).reshape(56, 4, 56, 4, 3).mean((1, 3))
    np.testing.assert_allclose(np.asarray(fit(image, photographs(56))), boxes, atol=1.01)


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (64, 7), (1, 1), (33, 32)])
@pytest.mark.parametrize("resolution", [1, 8, 31])
def test_everything_becomes_a_square(size: tuple[int, int], resolution: int):
    for frame in (Frame(resolution), photographs(resolution)):
        assert fit(noise(*size), frame).size == (resolution, resolution)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_images_of_every_mode_become_rgb(mode: str, tmp_path: Path):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    noise(8, 8).convert("RGBA").convert("L" if mode == "LA" else "RGB").convert(mode).save(path)
    assert decode(path, "a", Frame(8)).shape == (3, 8, 8)


def test_16_bits_are_refused_rather_than_clipped(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DDBenchError, match=r"'a\.png' has pixels of mode I;16") as caught:
        decode(tmp_path / "a.png", "a.png", Frame(8))
    assert "8 bits" in caught.value.hint


def test_draft_decoding_of_a_large_jpeg_is_close_to_the_full_one(tmp_path: Path):
    wave = np.sin(np.arange(512) / 40)[:, None] * np.cos(np.arange(512) / 60)[None]
    pixels = (127 + 120 * wave[..., None].repeat(3, 2)).astype(np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.jpg", quality=95)
    drafted = decode(tmp_path / "a.jpg", "a", Frame(32)).transpose(1, 2, 0).astype(float)
    assert np.abs(drafted - np.asarray(fit(image, Frame(32)))).max() < 4


# -- digits ------------------------------------------------------------------------------------


def test_digits_split_is_disjoint_and_stratified():
    from sklearn.datasets import load_digits

    info = Digits().info(None)
    (train, y), (test, z) = all_of(Digits(), "train", None), all_of(Digits(), "test", None)
    assert len(y) + len(z) == 1797
    both = torch.cat([train, test]).flatten(1).numpy()
    whole = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, whole))  # each image once
    for counts, labels in ((info.train_counts, y), (info.test_counts, z)):
        assert tuple(labels.bincount().tolist()) == counts
    parts = [b / (a + b) for a, b in zip(info.train_counts, info.test_counts, strict=True)]
    assert max(abs(p - 0.2) for p in parts) < 0.01
    assert not info.mirror
    assert info.classes == tuple("0123456789")
    assert info.shape == (1, 8, 8)


def test_digits_constants_are_those_of_the_training_part():
    images, _ = all_of(Digits(), "train", None)
    info = Digits().info(None)
    assert info.mean[0] == pytest.approx((images / 255).mean().item(), abs=1e-4)
    assert info.std[0] == pytest.approx((images / 255).std().item(), abs=2e-4)
    assert images.max() == 255


def test_digits_at_another_resolution():
    part = Digits(resolution=16)
    images, labels = all_of(part, "test", None)
    assert part.info(None).name == "digits@16"
    assert part.info(None).fingerprint == Digits().info(None).fingerprint
    assert Digits(resolution=8).info(None).name == "digits"
    assert images.shape == (len(labels), 1, 16, 16)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert all(len(chunk) <= 256 for chunk, _ in part.read("train", None))


def test_digits_fingerprint_never_changes():
    assert Digits().info(None).fingerprint.startswith("f8157065317ba0c7")


# -- Fashion-MNIST -----------------------------------------------------------------------------


def write_idx(path: Path, array: np.ndarray, zipped: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    if zipped:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


def small_fashion(base: Path, zipped: bool = False) -> None:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(base / f"{prefix}-images-idx3-ubyte", images, zipped)
        labels = np.arange(count, dtype=np.uint8) % 10
        write_idx(base / f"{prefix}-labels-idx1-ubyte", labels, zipped)


def test_fashion_mnist_from_either_place_plain_or_zipped(tmp_path: Path):
    small_fashion(tmp_path / "a" / "fashion_mnist", zipped=True)
    small_fashion(tmp_path / "b" / "FashionMNIST" / "raw")
    first, second = FashionMnist().info(tmp_path / "a"), FashionMnist().info(tmp_path / "b")
    assert first == second
    assert first.shape == (1, 28, 28)
    assert first.train_counts == (4,) * 10
    images, labels = all_of(FashionMnist(), "test", tmp_path / "b")
    assert images.shape == (20, 1, 28, 28)
    assert labels.tolist() == list(range(10)) * 2
    assert FashionMnist().verify(tmp_path / "a")[0].endswith("has 4 training images, expected 6000")


def test_fashion_mnist_fingerprint_is_of_the_pixels(tmp_path: Path):
    small_fashion(tmp_path / "fashion_mnist")
    before = FashionMnist().info(tmp_path).fingerprint
    path = tmp_path / "fashion_mnist" / "t10k-images-idx3-ubyte"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    assert FashionMnist().info(tmp_path).fingerprint != before


def test_fashion_mnist_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    with pytest.raises(DDBenchError) as caught:
        FashionMnist().info(None)
    assert "apt-get install dataset-fashion-mnist" in str(caught.value)
    small_fashion(tmp_path / "fashion_mnist")
    (tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DDBenchError, match="lacks the file t10k-labels-idx1-ubyte"):
        FashionMnist().info(tmp_path)
    write_idx(tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DDBenchError, match="does not hold Fashion-MNIST"):
        FashionMnist().info(tmp_path)
    (tmp_path / "cut").write_bytes(b"\0\0\x08\x03\0\0\0\x09")
    with pytest.raises(DDBenchError, match="cannot read the idx file"):
        read_idx(tmp_path / "cut")


def test_fashion_mnist_of_debian():
    if not fashion_mnist.DEBIAN.is_dir():
        pytest.skip(f"no {fashion_mnist.DEBIAN} (Debian package dataset-fashion-mnist)")
    assert FashionMnist().verify(None) == []
    images, labels = next(iter(FashionMnist(resolution=32).read("test", None)))
    assert images.shape == (256, 1, 32, 32)
    assert labels[:4].tolist() == [9, 2, 1, 1]


# -- CIFAR -------------------------------------------------------------------------------------


def test_cifar_constants_and_classes():
    assert (len(CIFAR10), len(CIFAR100)) == (10, 100)
    assert tuple(sorted(CIFAR100)) == CIFAR100
    assert tuple(sorted(CIFAR10)) == CIFAR10


def test_cifar_from_class_folders(tmp_path: Path):
    lay_out(tmp_path / "cifar10", CIFAR10, {"train": 2, "test": 1}, size=(32, 32))
    info = Cifar(10).info(tmp_path)
    assert (info.name, info.classes, info.shape) == ("cifar10", CIFAR10, (3, 32, 32))
    assert info.mean == (0.4914, 0.4822, 0.4465)
    assert (info.train_counts, info.test_counts) == ((2,) * 10, (1,) * 10)
    images, labels = all_of(Cifar(10), "train", tmp_path)
    stored = np.asarray(Image.open(tmp_path / "cifar10/train/automobile/001.png"))
    assert labels.tolist() == [i // 2 for i in range(20)]
    np.testing.assert_array_equal(images[3].permute(1, 2, 0), stored)
    assert Cifar(10).verify(tmp_path)[0] == "class 'airplane' has 2 training images, expected 5000"
    assert Cifar(10).prepare(tmp_path) == [f"cifar10 is in {tmp_path / 'cifar10'}"]


def test_cifar_from_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = tmp_path / "cifar-10-batches-py"
    stored.mkdir()
    (stored / "data_batch_1").write_bytes(b"not a pickle")
    info = Cifar(10).info(tmp_path)
    assert info.train_counts == (5000,) * 10
    with pytest.raises(DDBenchError, match="data set 'cifar10' is damaged"):
        next(Cifar(10).read("train", tmp_path))
    assert "is damaged" in Cifar(10).verify(tmp_path)[0]
    (stored / "data_batch_1").write_bytes(b"neither")
    assert Cifar(10).info(tmp_path).fingerprint != info.fingerprint


def test_cifar_images_in_torchvisions_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "cifar-100-python").mkdir()

    class Source:
        classes = CIFAR100

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert not download
            rng = np.random.default_rng(int(train))
            self.data = rng.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
            self.targets = list(range(99, -1, -1)) * 3

    monkeypatch.setattr(cifar, "_loader", lambda facts: Source)
    images, labels = all_of(Cifar(100), "train", tmp_path)
    expected = Source(tmp_path, True, False)
    assert labels.tolist() == expected.targets
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), expected.data)
    assert images.is_contiguous()
    smaller, _ = all_of(Cifar(100, resolution=16), "train", tmp_path)
    halved = images.float().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    assert (smaller.float() - halved).abs().max() <= 1.01
    assert Cifar(100).verify(tmp_path) == []


def test_download_that_fails_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def offline(*args: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(cifar, "_loader", lambda facts: offline)
    with pytest.raises(DDBenchError, match="could not download data set 'cifar10'") as caught:
        Cifar(10).prepare(tmp_path, download=True)
    assert "no route to host" in str(caught.value)


def test_real_cifar10():
    root = real_root("cifar10")
    assert Cifar(10).verify(root) == []
    images, labels = next(Cifar(10).read("test", root))
    assert images.shape == (256, 3, 32, 32)
    assert set(labels.tolist()) == {0}


# -- Imagenette --------------------------------------------------------------------------------


@pytest.fixture
def nette(tmp_path: Path) -> Path:
    base = tmp_path / "imagenette"
    lay_out(base, WNIDS, {"train": 3, "val": 2}, suffix="JPEG", size=(20, 16))
    return tmp_path


def test_imagenette(nette: Path):
    info = Imagenette(resolution=16).info(nette)
    assert (info.name, info.classes, info.shape) == ("imagenette@16", WNIDS, (3, 16, 16))
    assert (info.train_counts, info.test_counts) == ((3,) * 10, (2,) * 10)
    assert (info.titles[0], info.titles[-1]) == ("tench", "parachute")
    assert info.mean == (0.485, 0.456, 0.406)
    assert Imagenette().info(nette).name == "imagenette"
    assert Imagenette().info(nette).resolution == 224
    assert Imagenette(resolution=224).info(nette).name == "imagenette"


def test_imagenette_order_is_fixed(nette: Path):
    images, labels = all_of(Imagenette(16), "train", nette)
    again, _ = all_of(Imagenette(16), "train", nette)
    assert torch.equal(images, again)
    assert labels.tolist() == [i // 3 for i in range(30)]
    path = nette / "imagenette/train" / WNIDS[1] / "002.JPEG"
    np.testing.assert_array_equal(images[5], decode(path, "", photographs(16)))


@pytest.mark.parametrize("place", ["imagenette2", "imagenette2-320", "imagenette2-160", "."])
def test_imagenette_in_other_places(place: str, nette: Path, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(nette / "imagenette", other / place, dirs_exist_ok=True)
    assert Imagenette().info(other) == Imagenette().info(nette)


def test_fingerprint_changes_with_a_file(nette: Path):
    def now() -> str:
        return Imagenette().info(nette).fingerprint

    seen = [now()]
    assert now() == seen[0]
    file = nette / "imagenette/train" / WNIDS[0] / "000.JPEG"
    file.write_bytes(file.read_bytes() + b"\0")
    seen.append(now())
    file.rename(file.with_name("zzz.JPEG"))
    seen.append(now())
    draw(file, seed=999)
    seen.append(now())
    (nette / "imagenette/val" / WNIDS[9] / "000.JPEG").unlink()
    seen.append(now())
    assert len(set(seen)) == len(seen)
    (nette / "imagenette/val" / WNIDS[9] / "notes.txt").write_text("no image")
    (nette / "imagenette/val" / WNIDS[9] / "._001.JPEG").write_text("hidden")
    assert now() == seen[-1]


def test_other_folders_than_the_ten_wnids_are_named(nette: Path):
    train = nette / "imagenette/train"
    (train / WNIDS[2]).rename(train / "n00000001")
    with pytest.raises(DDBenchError) as caught:
        Imagenette().info(nette)
    assert f"missing: {WNIDS[2]}" in str(caught.value)
    assert "not expected: n00000001" in str(caught.value)
    assert "train" in caught.value.problem


def test_imagenette_verify_counts_and_decodes(nette: Path):
    file = nette / "imagenette/val" / WNIDS[0] / "000.JPEG"
    file.write_bytes(file.read_bytes()[:200])
    found = Imagenette(16).verify(nette)
    assert f"class '{WNIDS[0]}' has 3 training images, expected 963" in found
    assert any(f"cannot decode image 'val/{WNIDS[0]}/000.JPEG'" in line for line in found)
    assert len(found) == 21


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_image_is_named_when_read(damage: str, nette: Path):
    file = nette / "imagenette/train" / WNIDS[3] / "001.JPEG"
    raw = file.read_bytes()
    file.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"<html>", "empty": b""}[damage])
    Imagenette(16).info(nette)
    with pytest.raises(DDBenchError) as caught:
        all_of(Imagenette(16), "train", nette)
    assert caught.value.problem == f"cannot decode image 'train/{WNIDS[3]}/001.JPEG'"
    assert caught.value.hint == "remove or replace the file"


def test_real_imagenette():
    root = real_root("imagenette")
    part = Imagenette(64)
    assert part.verify(root) == []
    info = part.info(root)
    assert (sum(info.train_counts), sum(info.test_counts)) == (9469, 3925)
    images, labels = next(part.read("test", root))
    assert images.shape == (256, 3, 64, 64)
    assert labels.unique().tolist() == [0]
    pixels = images.float() / 255
    assert 0.2 < pixels.mean() < 0.7
    assert pixels.std() > 0.1


# -- ImageNet-1K -------------------------------------------------------------------------------


def test_imagenet1k(tmp_path: Path):
    wnids = list(imagenet.imagenet_titles())
    assert len(wnids) == 1000
    assert wnids == sorted(wnids)
    assert [wnids.index(wnid) for wnid in WNIDS[:3]] == [0, 217, 482]
    source = tmp_path / "one.JPEG"
    draw(source, 0)
    for split in ("train", "val"):
        for wnid in wnids:
            (tmp_path / "imagenet" / split / wnid).mkdir(parents=True)
            shutil.copy(source, tmp_path / "imagenet" / split / wnid / f"{split}.JPEG")
    info = ImageNet1k().info(tmp_path)
    assert (info.num_classes, info.shape, info.titles[217]) == (
        1000,
        (3, 224, 224),
        "English springer",
    )
    images, labels = next(ImageNet1k(resolution=8).read("test", tmp_path))
    assert images.shape == (256, 3, 8, 8)
    assert labels.tolist() == list(range(256))
    assert "1,000 training images, expected 1,281,167" in ImageNet1k(8).verify(tmp_path)
    shutil.rmtree(tmp_path / "imagenet/val" / wnids[7])
    with pytest.raises(DDBenchError, match="other classes in its test folder") as caught:
        ImageNet1k().info(tmp_path)
    assert f"missing: {wnids[7]}" in str(caught.value)


# -- Tiny ImageNet -----------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The published layout, with 1 training and 2 validation images a class."""
    base = tmp_path / "tiny-imagenet-200"
    wnids = [f"n{index:08d}" for index in range(200)]
    rng = np.random.default_rng(0)
    (base / "val/images").mkdir(parents=True)
    shuffled = rng.permutation(400)
    lines = []
    for index, wnid in enumerate(wnids):
        draw(base / f"train/{wnid}/images/{wnid}_0.JPEG", index)
        (base / f"train/{wnid}/{wnid}_boxes.txt").write_text("")
        for number in shuffled[2 * index : 2 * index + 2]:
            draw(base / f"val/images/val_{number}.JPEG", 1000 + number)
            lines.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t7\t7\n")
    (base / "val/val_annotations.txt").write_text("".join(sorted(lines)))
    (base / "wnids.txt").write_text("\n".join(rng.permutation(wnids)) + "\n")
    (base / "words.txt").write_text("".join(f"{w}\tthing {w}, object\n" for w in ["n9", *wnids]))
    return tmp_path


def test_tiny_imagenet_in_either_layout_is_the_same(tiny: Path):
    part = TinyImageNet(resolution=8)
    before = sorted(tiny.rglob("*"))
    info, (images, labels) = part.info(tiny), all_of(part, "test", tiny)
    assert sorted(tiny.rglob("*")) == before  # nothing is written
    assert info.name == "tiny_imagenet@8"
    assert info.classes == tuple(sorted(info.classes))
    assert info.test_counts == (2,) * 200
    assert info.titles[3] == "thing n00000003"
    assert labels.tolist() == [i // 2 for i in range(400)]

    notes = part.prepare(tiny)
    assert "moved 400 validation images" in notes[0]
    assert list((tiny / "tiny-imagenet-200/val/images").iterdir()) == []
    assert part.info(tiny) == info
    assert torch.equal(all_of(part, "test", tiny)[0], images)
    assert "moved 0 validation images" in part.prepare(tiny)[0]

    val = tiny / "tiny-imagenet-200/val"  # as other programs order it: no folder `images`
    (val / "val_annotations.txt").unlink()
    (val / "images").rmdir()
    for wnid in info.classes:
        for file in (val / wnid / "images").iterdir():
            file.rename(val / wnid / file.name)
        (val / wnid / "images").rmdir()
    assert part.info(tiny) == info
    assert torch.equal(all_of(part, "test", tiny)[0], images)


def test_tiny_imagenet_images_carry_the_annotated_class(tiny: Path):
    part = TinyImageNet(resolution=8)
    base = tiny / "tiny-imagenet-200"
    said = tiny_imagenet.annotated(base / "val/val_annotations.txt")
    images, _ = all_of(part, "test", tiny)
    wnid = part.info(tiny).classes[77]
    names = sorted(name for name, of in said.items() if of == wnid)
    for row, name in enumerate(names):
        expected = decode(base / "val/images" / name, name, Frame(8))
        np.testing.assert_array_equal(images[2 * 77 + row], expected)


def test_tiny_imagenet_images_that_were_copied_count_once(tiny: Path):
    before = TinyImageNet().info(tiny)
    val = tiny / "tiny-imagenet-200/val"
    for name, wnid in tiny_imagenet.annotated(val / "val_annotations.txt").items():
        (val / wnid).mkdir(exist_ok=True)
        shutil.copy(val / "images" / name, val / wnid / name)
    assert TinyImageNet().info(tiny) == before


def test_tiny_imagenet_says_what_is_wrong(tiny: Path):
    base = tiny / "tiny-imagenet-200"
    found = TinyImageNet().verify(tiny)
    assert "class 'n00000000' has 1 training images, expected 500" in found
    assert "class 'n00000199' has 2 test images, expected 50" in found
    (base / "val/val_annotations.txt").unlink()
    with pytest.raises(DDBenchError, match="nothing says of which class"):
        TinyImageNet().info(tiny)
    (base / "wnids.txt").write_text("n00000000\n")
    with pytest.raises(DDBenchError, match="lists 1 classes"):
        TinyImageNet().info(tiny)


def test_tiny_imagenet_constants(tiny: Path):
    info = TinyImageNet().info(tiny)
    assert (info.name, info.shape) == ("tiny_imagenet", (3, 64, 64))
    assert info.mean == (0.4802, 0.4481, 0.3975)
    assert info.std == (0.2302, 0.2265, 0.2262)


# -- folder ------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_folder_with_splits(test: str, tmp_path: Path):
    lay_out(tmp_path, ["b", "a", "C"], {"train": 4, test: 2}, size=(12, 10))
    part = ImageFolder(path=str(tmp_path))
    info = part.info(None)
    assert info.classes == ("C", "a", "b")
    assert info.name == f"folder:{tmp_path}"
    assert (info.shape, info.train_counts, info.test_counts) == ((3, 10, 10), (4,) * 3, (2,) * 3)
    images, labels = all_of(part, "test", None)
    assert images.shape == (6, 3, 10, 10)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert part.verify(None) == []
    assert part.prepare(None) == ["12 training and 6 test images (folders of their own)"]


def test_folder_without_splits_holds_out_a_fifth(tmp_path: Path):
    lay_out(tmp_path, ["cat", "dog"], {".": 20})
    draw(tmp_path / "emu/a.png", 1001)
    draw(tmp_path / "emu/b.png", 1002)
    part = ImageFolder(str(tmp_path))
    info = part.info(None)
    assert (info.train_counts, info.test_counts) == ((16, 16, 1), (4, 4, 1))
    assert part.prepare(None) == ["33 training and 9 test images (a fifth of each class)"]
    train, test = all_of(part, "train", None)[0], all_of(part, "test", None)[0]
    assert len({bytes(row) for row in torch.cat([train, test]).flatten(1).numpy()}) == 42
    assert torch.equal(all_of(part, "test", None)[0], test)
    assert part.info(None) == info


def test_folder_split_depends_on_names_alone():
    names = tuple(f"{index}.png" for index in range(50))
    first = hold_out(class_files(Path("a"), [(name, 1) for name in names]))
    other = hold_out(class_files(Path("b"), [(name, 2) for name in names[::-1]]))
    assert first[1].names == other[1].names
    assert set(first[0].names) | set(first[1].names) == set(names)
    assert len(first[1].names) == 10
    assert list(first[1].names) == sorted(first[1].names)
    assert sum(int(name[0]) for name in first[1].names) != sum(range(10))  # not every fifth


def test_folder_with_train_alone_is_split(tmp_path: Path):
    lay_out(tmp_path, ["cat", "dog"], {"train": 10})
    assert ImageFolder(str(tmp_path)).info(None).test_counts == (2, 2)


@pytest.mark.parametrize(
    ("sizes", "own"),
    [
        ([(8, 8)] * 10, 8),
        ([(8, 9)] * 6 + [(20, 30)] * 4, 8),
        ([(300, 400)] * 4, 224),
    ],
)
def test_folder_resolution(sizes: list[tuple[int, int]], own: int, tmp_path: Path):
    for name in ("a", "b"):
        for index, size in enumerate(sizes):
            draw(tmp_path / name / f"{index}.png", index, size=size)
    part = ImageFolder(str(tmp_path))
    assert part.info(None).shape == (3, own, own)
    assert next(part.read("train", None))[0].shape[2:] == (own, own)
    other = ImageFolder(str(tmp_path), resolution=5)
    assert other.info(None).name == f"folder:{tmp_path}@5"
    assert next(other.read("train", None))[0].shape[2:] == (5, 5)


def test_folder_resolution_of_equally_common_sizes_is_the_least(tmp_path: Path):
    for index, size in enumerate([(11, 11), (9, 12), (11, 30), (12, 9)]):
        draw(tmp_path / "a" / f"{index}.png", index, size=size)
    (tmp_path / "a" / "damaged.png").write_text("no image")
    assert own_side(scan(tmp_path)) == 9


def test_folder_of_grey_images_is_rgb(tmp_path: Path):
    lay_out(tmp_path, ["a", "b"], {".": 5}, mode="L")
    images, _ = all_of(ImageFolder(str(tmp_path)), "train", None)
    assert images.shape == (8, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])


def test_folder_finds_images_in_folders_within_classes(tmp_path: Path):
    for index in range(5):
        draw(tmp_path / "a" / f"day{index}" / "x.JPG", index)
        draw(tmp_path / "b" / f"{index}.webp", index)
    info = ImageFolder(str(tmp_path)).info(None)
    assert info.train_counts == (4, 4)


def test_folder_says_what_is_wrong(tmp_path: Path):
    def problem(path: Path) -> str:
        with pytest.raises(DDBenchError) as caught:
            ImageFolder(str(path)).info(None)
        assert caught.value.hint
        return str(caught.value)

    assert "is not there" in problem(tmp_path / "absent")
    (tmp_path / "bare").mkdir()
    assert "is empty" in problem(tmp_path / "bare")
    lay_out(tmp_path / "one", ["cat"], {".": 5})
    assert "has one class, 'cat'" in problem(tmp_path / "one")
    lay_out(tmp_path / "single", ["cat", "dog"], {".": 1})
    assert "classes of one image" in problem(tmp_path / "single")
    lay_out(tmp_path / "hollow", ["cat", "dog"], {".": 5})
    (tmp_path / "hollow" / "emu").mkdir()
    (tmp_path / "hollow" / "emu" / "readme.txt").write_text("")
    assert "no images: emu" in problem(tmp_path / "hollow")
    lay_out(tmp_path / "torn", ["cat", "dog"], {"train": 2})
    lay_out(tmp_path / "torn", ["dog", "emu"], {"val": 2})
    torn = problem(tmp_path / "torn")
    assert "to train only: cat" in torn
    assert "to test only: emu" in torn
    for name in ("a", "b"):
        for index in range(3):
            path = tmp_path / "text" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no image")
    assert "cannot read any image" in problem(tmp_path / "text")


def test_folder_names_a_damaged_image_when_read(tmp_path: Path):
    lay_out(tmp_path, ["a", "b"], {"train": 2, "val": 1})
    (tmp_path / "train/b/001.png").write_bytes(b"\x89PNG")
    part = ImageFolder(str(tmp_path))
    assert part.info(None).train_counts == (2, 2)
    with pytest.raises(DDBenchError, match=r"cannot decode image 'train/b/001\.png'"):
        all_of(part, "train", None)
    assert len(part.verify(None)) == 1


def test_folder_without_a_path():
    with pytest.raises(DDBenchError, match="is not there"):
        ImageFolder().info(None)
