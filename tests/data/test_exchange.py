"""Distilled sets in and out: numbers kept, questions asked, nothing half done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddbench.api.distilled_set import PortableSet
from ddbench.api.errors import DDBenchError
from ddbench.data.exchange import SetFacts, identify_set
from ddbench.data.stored_set import Stored, open_stored_set
from ddbench.store.cache import Cache
from ddbench.store.records import Records
from ddbench.testing import tiny_batch
from ddbench.testing.formats import tiny_sets
from ddbench_plugins.formats._normalised import DATASETS
from ddbench_plugins.formats.sre2l_folders import SRe2LFolders
from tests.doubles.installed import install
from tests.whole.test_bad_input import refused

FORMATS = {"ddbench": "set", "sre2l": "folders", "dc": "set.pt", "mtt": "files", "dd_ranking": "dd"}
SHORT = ["--labels", "hard", "--ipc", 2, "--set", "recover.iterations=2"]
CPU = ["--device", "cpu", "--precision", "fp32"]


def test_every_format_gives_the_number_of_the_run(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path
) -> None:
    """Of images that were recovered and of images that were selected, with no flag but a protocol
    that is a file of ours."""
    flags = [*tiny, *SHORT, "--seed", 3]
    assert ddbench("run", "--method", "wmdd,random", *flags).code == 0
    records = {record.method: record for record in Records(tmp_path / "cache" / "records").all()}
    protocol = tiny[tiny.index("--protocol") + 1]
    first = {}
    for method in ("wmdd", "random"):
        for form, name in FORMATS.items():
            path = tmp_path / method / name
            done = ddbench("export", records[method].key, path, "--format", form)
            assert done.code == 0, done.err
            first.setdefault(method, path)
            cache = tmp_path / "judged" / method / form
            judged = ddbench("eval", path, "--protocol", protocol, "--seeds", 1, *CPU,
                             "--cache", cache)  # fmt: skip
            assert judged.code == 0, judged.err
            (again,) = Records(cache / "records").all()
            assert again.metrics == records[method].metrics, form
            assert again.method == method
            back = tmp_path / method / f"back-{form}"
            assert ddbench("export", path, back, "--no-images").code == 0
            name = "tensors.safetensors"
            assert (back / name).read_bytes() == (first[method] / name).read_bytes()


@pytest.mark.parametrize("profile", ["smoke", ""])
def test_a_set_of_a_profile_is_marked_when_it_is_judged(
    ddbench: Callable[..., Any], alone: list[Any], tmp_path: Path, profile: str
) -> None:
    flags = ["-m", "random", "--ipc", 1, "-l", "hard", "--no-reference", *alone]
    told = ddbench("run", *flags, *(["--profile", profile] if profile else []))
    assert told.code == 0, told.err
    (record,) = Records(tmp_path / "cache" / "records").all()
    assert record.profile == profile
    assert ddbench("export", record.key, tmp_path / "set", "--no-images").code == 0
    cache = tmp_path / "judged"
    done = ddbench("eval", tmp_path / "set", "--seeds", 1, "--protocol", tmp_path / "tiny.toml",
                   "--reference", *CPU, "--cache", cache)  # fmt: skip
    assert done.code == 0, done.err
    marks = {again.method: again.profile for again in Records(cache / "records").all()}
    assert marks["random"] == profile
    assert ("profile=smoke" in done.out) == bool(profile)


# -- what a layout does not say --------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Digits of somebody else: normalised floats in files that say nothing."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    torch.save(torch.randn(20, 1, 8, 8), folder / "images_best.pt")
    torch.save(torch.randn(20, 10), folder / "labels_best.pt")
    torch.save(torch.tensor(0.02), folder / "lr_best.pt")
    return folder


def test_eval_asks_for_what_nobody_said_and_then_runs(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path, foreign: Path
) -> None:
    judge = ["eval", foreign, *CPU, "--seeds", 1]
    refused(ddbench(*judge), f"{foreign} does not say which data set", "--dataset NAME")
    judge += ["--dataset", "digits"]
    refused(ddbench(*judge), f"{foreign} does not say which network", "--arch")
    judge += ["--arch", "convnet3_bn", "--protocol", tiny[tiny.index("--protocol") + 1]]
    refused(ddbench(*judge), "nobody said what the numbers of these images are", "--pixels")
    refused(ddbench(*judge, "--pixels", "white"), "unknown kind of pixels 'white'", "normalised")
    judge += ["--pixels", "normalised"]
    assert ddbench(*judge).code == 0
    assert ddbench(*judge, "--labels", "hard").code == 0
    assert ddbench(*judge, "--learned-rate").code == 0
    made = list(Records(tmp_path / "cache" / "records").all())
    (rate,) = [record for record in made if record.given]
    (hard,) = [record for record in made if record.labels == "hard"]
    (stored,) = [record for record in made if record not in (rate, hard)]
    assert (stored.labels, rate.labels) == ("stored", "stored")
    assert stored.label_bytes - hard.label_bytes == 20 * 10 * 4
    assert rate.given == {"evaluate.lr": repr(torch.tensor(0.02).item())}
    assert rate.configuration["protocol"][1]["training"][1]["lr"] == torch.tensor(0.02).item()


def test_a_file_whose_name_says_enough_needs_no_flag(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "Digits", "digits")
    path = tmp_path / "res_DM_Digits_ConvNetBN_2ipc.pt"
    labels = torch.arange(10).repeat_interleave(2)
    torch.save({"data": [[torch.randn(20, 1, 8, 8), labels]], "accs_all_exps": {}}, path)
    protocol = tiny[tiny.index("--protocol") + 1]  # for time's sake: `dc` trains 1,000 epochs
    assert ddbench("eval", path, "--protocol", protocol, "--seeds", 1, *CPU).code == 0
    (record,) = Records(tmp_path / "cache" / "records").all()
    assert (record.method, record.student, record.ipc) == ("dm", "convnet3_bn", 2)
    assert (record.labels, record.title) == ("hard", "DM")


def test_an_imported_set_is_the_file_itself(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path, foreign: Path
) -> None:
    done = ddbench("import", foreign, tmp_path / "ours", "--dataset", "digits",
                   "--pixels", "normalised", "--method", "theirs")  # fmt: skip
    assert done.code == 0, done.err
    assert "20 images (normalised), learned labels, learned step size 0.02" in done.out
    card = json.loads((tmp_path / "ours" / "card.json").read_text())
    assert (card["method"], card["rate"]) == ("theirs", torch.tensor(0.02).item())
    assert len(card["classes"]) == 10
    judge = ["--arch", "convnet3_bn", "--protocol", tiny[tiny.index("--protocol") + 1],
             "--seeds", 1, *CPU]  # fmt: skip
    assert ddbench("eval", tmp_path / "ours", *judge).code == 0
    again = ddbench("eval", foreign, *judge, "--dataset", "digits", "--pixels", "normalised")
    assert again.code == 0
    stages = [stage for stage, _, _ in Cache(tmp_path / "cache").entries()]
    assert sorted(stages) == ["data", "evaluate", "recover"]  # the very same images and labels
    done = ddbench("export", tmp_path / "ours", tmp_path / "back", "--format", "mtt")
    assert done.code == 0, done.err
    for name in ("images_best.pt", "labels_best.pt", "lr_best.pt"):
        new, old = (torch.load(f / name, weights_only=True) for f in (tmp_path / "back", foreign))
        assert torch.equal(new, old)


def test_stored_labels_are_the_soft_cross_entropy() -> None:
    """Against a sum over classes, in logits and in probabilities, mixed."""
    batch = tiny_batch()
    whole = replace(tiny_sets()["learned labels and step size"], pixels="normalised")
    for soft in (whole.soft_labels, whole.soft_labels.softmax(1)):
        _, labels = open_stored_set(replace(whole, soft_labels=soft))
        assert isinstance(labels, Stored)
        student = torch.randn(len(batch.labels), 3, dtype=torch.float64)
        p = whole.soft_labels.double().softmax(1)
        target = batch.share * p[batch.indices] + (1 - batch.share) * p[batch.partner_indices]
        expected = -(batch.weights * (target * student.log_softmax(1)).sum(1)).mean()
        assert labels.loss(student, batch, None).item() == pytest.approx(expected.item(), rel=1e-6)


def test_learned_labels_and_a_held_out_part_do_not_go_together(
    ddbench: Callable[..., Any], foreign: Path
) -> None:
    """Rows of a part of the set would be given the labels of other images."""
    judge = ["eval", foreign, *CPU, "--dataset", "digits", "--pixels", "normalised",
             "--arch", "convnet3", "--teacher", "convnet3_bn", "--protocol", "wmdd"]  # fmt: skip
    refused(ddbench(*judge), "protocol 'wmdd' holds images out", "--labels hard")


# -- classes ---------------------------------------------------------------------------------------


def test_folders_are_classes_by_name_whatever_their_order(registry, tmp_path, info):
    from tests.whole.test_bad_input import folder_of

    base = tmp_path / "data"
    for split in ("train", "test"):
        folder_of(base, "bca", split=split)
    named = f"folder:{base}"
    whole = PortableSet(
        images=torch.zeros(3, 3, 8, 8, dtype=torch.uint8), labels=torch.tensor([0, 1, 2]),
        pixels="bytes", card={"class_names": ["b", "c", "a"]},
    )  # fmt: skip
    found = identify_set(whole, SetFacts(dataset=named), registry, None, tmp_path)
    assert found.labels.tolist() == [1, 2, 0]
    assert found.card["classes"] == ["a", "b", "c"]
    other = replace(whole, card={"class_names": ["b", "c", "x"]})
    with pytest.raises(DDBenchError, match="are not the classes of") as caught:
        identify_set(other, SetFacts(dataset=named), registry, None, tmp_path)
    assert caught.value.facts == ("'x' is none of them",)
    fewer = replace(whole, card={"class_count": 2})
    with pytest.raises(DDBenchError, match=r"has 2 classes, .* has 3"):
        identify_set(fewer, SetFacts(dataset=named), registry, None, tmp_path)
    small = replace(whole, images=whole.images[:, :, :4])
    with pytest.raises(DDBenchError, match="the distilled images are"):
        identify_set(small, SetFacts(dataset=named), registry, None, tmp_path)


def test_numbers_that_are_names_of_classes_go_by_name(registry, tmp_path):
    """The folder `10` is the class `10`, which sorts before `2`; other numbers are places."""
    from tests.whole.test_bad_input import folder_of

    data, names = tmp_path / "data", [str(number) for number in range(12)]
    for split in ("train", "test"):
        folder_of(data, names, count=1, split=split)
    facts = SetFacts(dataset=f"folder:{data}")

    def labels(theirs: list[str]) -> list[int]:
        path = folder_of(tmp_path / theirs[0], theirs, count=1)
        return identify_set(SRe2LFolders().read(path), facts, registry, None, path).labels.tolist()

    assert labels(names) == list(range(12))  # in the order of the names, as in the data
    assert labels([f"new{number:03d}" for number in range(12)]) == list(range(12))
    ones = [str(number) for number in range(1, 13)]
    with pytest.raises(DDBenchError, match="are not the classes of") as caught:
        labels(ones)
    assert caught.value.facts == ("'12' is none of them",)


def test_soft_labels_are_of_the_order_of_the_folders(registry, tmp_path):
    from tests.whole.test_bad_input import folder_of

    for split in ("train", "test"):
        folder_of(tmp_path, "abc", count=1, split=split)
    facts = SetFacts(dataset=f"folder:{tmp_path}")
    whole = PortableSet(
        images=torch.zeros(3, 3, 8, 8, dtype=torch.uint8), labels=torch.tensor([0, 1, 2]),
        pixels="bytes", soft_labels=torch.eye(3), card={"class_names": ["a", "b", "c"]},
    )  # fmt: skip
    assert identify_set(whole, facts, registry, None, tmp_path).labels.tolist() == [0, 1, 2]
    turned = replace(whole, card={"class_names": ["b", "c", "a"]})
    with pytest.raises(DDBenchError, match="the folders sort in another order"):
        identify_set(turned, facts, registry, None, tmp_path)


def test_other_channels_are_not_blamed_on_the_resolution(registry, tmp_path):
    whole = tiny_sets()["bytes"]
    card = {"classes": [str(digit) for digit in range(10)], "dataset": "digits"}
    with pytest.raises(DDBenchError, match="the distilled images are") as caught:
        identify_set(replace(whole, card=card), SetFacts(), registry, None, tmp_path)
    assert "channels" in caught.value.hint


# -- mistakes --------------------------------------------------------------------------------------


def test_mistakes_are_one_sentence_and_leave_nothing(
    ddbench: Callable[..., Any], tmp_path: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, x = tmp_path / "ours", tmp_path / "x"
    enter = ["import", foreign, ours]
    digits = ["--dataset", "digits"]
    refused(ddbench("import", x), f"no file or folder {x}")
    nothing = f"{tmp_path} is not a distilled set"
    refused(ddbench("import", tmp_path, ours), nothing, "mtt: a folder")
    refused(ddbench(*enter, "-f", "mt"), "unknown format 'mt'", "'mtt'")
    refused(ddbench(*enter, "-f", "mtt[whic=1]"), "format 'mtt' has no option")
    refused(ddbench(*enter, "-f", "dc"), f"no file {foreign}")
    refused(ddbench(*enter, "-d", "digits@16"), "the distilled images are (1, 8, 8)")
    assert not ours.exists()

    images = torch.load(foreign / "images_best.pt", weights_only=True)
    torch.save(images.index_fill(0, torch.tensor([3]), torch.nan), foreign / "images_best.pt")
    refused(ddbench(*enter, *digits), f"{foreign}: 64 of 1280 numbers of the images")
    torch.save(images, foreign / "images_best.pt")
    assert ddbench(*enter, *digits, "--pixels", "normalised").code == 0
    refused(ddbench(*enter, *digits), f"{ours} is not empty", "nothing is over")
    refused(ddbench("export", ours, x, "-f", "dc"), "files of DC's family hold hard")
    refused(ddbench("export", ours, x, "-f", "sre2l"), "image files hold bytes")
    judge = ["eval", ours, "--arch", "convnet3"]
    refused(ddbench(*judge, "-l", "fkdd"), "unknown labeller 'fkdd'")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    refused(ddbench("export", ours, x, "-f", "mtt"), f"{x} cannot be written", "No space left")
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"theirs", "ours", "cache"}


# -- a format of somebody else ---------------------------------------------------------------------

THEIRS = '''
from typing import ClassVar
import numpy, torch
from ddbench import hookimpl
from ddbench.api.distilled_set import PortableSet
from ddbench.api.roles import SetFormat

class Archive(SetFormat):
    """KIP: one NumPy archive."""
    layout: ClassVar[str] = "a file NAME.npz"

    def detect(self, path):
        return path.suffix == ".npz"

    def read(self, path):
        found = numpy.load(path)
        return PortableSet(images=torch.from_numpy(found["images"]), pixels="unit",
                           labels=torch.from_numpy(found["labels"]))

    def write(self, distilled, path):
        numpy.savez(path, images=distilled.images, labels=distilled.labels)

@hookimpl
def ddbench_formats():
    return {"kip": Archive()}
'''


def test_a_format_of_somebody_else(
    ddbench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    install(tmp_path / "site", "ddbench-kip", {"their_format": THEIRS})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert "KIP: one NumPy archive" in ddbench("list", "formats").out
    path = tmp_path / "kip.npz"
    np.savez(path, images=np.random.rand(10, 1, 8, 8).astype(np.float32), labels=np.arange(10))
    monkeypatch.chdir(tmp_path)
    assert ddbench("import", path, "--dataset", "digits").code == 0
    assert (tmp_path / "kip-imported" / "card.json").is_file()
    np.savez(path, images=np.zeros(3))
    refused(ddbench("import", path, "--dataset", "digits"), f"{path} cannot be read", "plug-in")


def test_the_shell_completes_formats(ddbench: Callable[..., Any]) -> None:
    from ddbench.cli.options import complete_formats

    assert complete_formats("d") == ["dc", "dd_ranking", "ddbench"]
    assert os.environ.get("DDBENCH_PLUGINS") is None
