"""Mistakes at the command line: one sentence, facts, a hint, exit code 2, and no traceback."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ddbench.api.distilled_set import PortableSet, check_set
from ddbench.api.errors import DDBenchError
from ddbench.store.cache import Cache
from ddbench.store.records import Records, read_record

QUICK = ["-m", "random", "-l", "hard", "--no-reference"]
"""No teacher is trained."""
SHORT = ["--set", "recover.iterations=3"]


def refused(outcome: Any, problem: str, *shown: str) -> None:
    """One problem, told in the house's form: `error: problem`, facts, `hint: …`; exit code 2."""
    said = outcome.err
    assert outcome.code == 2, said
    assert said.startswith(f"error: {problem}"), said
    assert said.count("error:") == 1, said
    assert said.count("hint:") == 1, said
    assert said.rstrip().splitlines()[-1].lstrip().startswith("hint:"), said
    assert "Traceback" not in said + outcome.out
    assert "\n  " in said
    for text in shown:
        assert text in said, said
    head = said.splitlines()[0]
    assert not head.endswith(".")


def failed(outcome: Any, status: str, *shown: str) -> None:
    """A cell that failed: named with its reason, exit code 1."""
    said = outcome.err
    assert outcome.code == 1, said
    assert f"({status})" in said
    assert "Traceback" not in said + outcome.out
    assert said.count("hint:") == 1, said
    for text in shown:
        assert text in said, said


def folder_of(
    base: Path, classes: Sequence[str] = "abc", count: int = 6, *, side: int = 8, split: str = ""
) -> Path:
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        inner = base / split / name
        inner.mkdir(parents=True)
        for row in range(count):
            noise = rng.integers(0, 120, (side, side, 3)) + 60 * number
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(inner / f"{row}.png")
    return base


# -- names, numbers, options -----------------------------------------------------------------------

SLIPS: list[tuple[list[str], str, list[str]]] = [
    (["-m", ""], "--method is empty", ["leave it out"]),
    (["--ipc", " ,"], "--ipc is empty", ["leave it out"]),
    (["-m", "wmd"], "unknown method 'wmd'", ["known: ", "did you mean 'wmdd'?"]),
    (["--matcher", "waserstein"], "unknown matcher 'waserstein'", ["'wasserstein'"]),
    (["--regularizer", "pcnb"], "unknown regularizer 'pcnb'", ["'pcbn'"]),
    (["-d", "digit"], "unknown data set 'digit'", ["'digits'"]),
    (["-a", "resnet81"], "unknown architecture 'resnet81'", ["'resnet18'"]),
    (["-t", "convnet3bn"], "unknown architecture 'convnet3bn'", ["'convnet3_bn'"]),
    (["-l", "fdk"], "unknown labeller 'fdk'", ["'fkd'"]),
    (["-e", "acuracy"], "unknown evaluator 'acuracy'", ["'accuracy'"]),
    (["--protocol", "ddbench-v9"], "unknown protocol 'ddbench-v9'", ["'ddbench-v1'"]),
    (["--format", "latex"], "unknown format 'latex'", ["known: csv, md, terminal, tex"]),
    (["--device", "gpu"], "unknown device 'gpu'", ["known: auto, cpu, cuda, mps", "'cuda'"]),
    (["--device", "mps"], "device 'mps' is not available here", ["available: cpu"]),
    (["--precision", "fp16"], "unknown precision 'fp16'", ["known: auto, bf16, fp32"]),
    (["--set", "recover.iteratons=5"], "recover has no option 'iteratons'", ["'iterations'"]),
    (["--set", "recovr.iterations=5"], "unknown option 'recovr.iterations'", ["'recover.…'"]),
    (["--set", "recover.iterations"], "cannot read '--set recover.iterations'", ["PATH=VALUE"]),
    (["--set", "recover.iterations=many"], "recover option 'iterations' cannot be 'many'",
     ["expected: int"]),
    (["--set", "recover.iterations=0"], "recover: iterations is 0", ["expected: 1 or more"]),
    (["--set", "recover.crop=[1.0, 0.5]"], "recover: crop is (1.0, 0.5)", ["smallest <= largest"]),
    (["--set", "matcher.norm=l3"], "matcher 'wasserstein' option 'norm' cannot be 'l3'",
     ["'squared'", "'l2'"]),
    (["--set", "evaluate.epochs=0"], "evaluate: epochs is 0", ["1 or more"]),
    (["--set", "squeeze.batch_size=0"], "squeeze: batch_size is 0", ["1 or more"]),
    (["--ipc", "0"], "--ipc 0 is out of range", ["1 or more"]),
    (["--ipc=-3"], "--ipc -3 is out of range", ["1 or more"]),
    (["--ipc", "999"], "--ipc 999 is more than class '8' of digits has: 139 training images",
     ["--ipc 139 or less"]),
    (["--ipc", "ten"], "--ipc 'ten' is not a whole number", ["--ipc 1,10"]),
    (["--ipc", "1.5"], "--ipc '1.5' is not a whole number", ["--ipc 1,10"]),
    (["--seeds", "0"], "--seeds 0 is out of range", ["1 or more"]),
    (["--seed=-1"], "--seed -1 is out of range", ["0 or more"]),
    (["--students", "0"], "--students 0 is out of range", ["1 or more"]),
    (["--holdout", "1"], "--holdout 1 is out of range", ["0 to below 1"]),
    (["--matcher", "1e999*mmd"], "the weight in '1e999*mmd' is infinite", ["a finite number"]),
    (["--set", "evaluate.lr=inf"], "evaluate option 'lr' cannot be 'inf'", ["finite numbers"]),
    (["--matcher", "2*"], "cannot read '2*'", ["WEIGHT*NAME"]),
    (["--matcher", "none", "--regularizer", "none"],
     "method 'none + none' optimises images but has no matcher and no regularizer", ["--matcher"]),
    (["-m", "dc", "--matcher", "mmd"], "method 'dc' has no losses that could be exchanged",
     ["leave --matcher"]),
    (["-m", "dm", "--set", "matcher.norm=l2"],
     "--set matcher.norm changes nothing: no row has a matcher", ["methods: dm"]),
    (["--set", "evaluate.lr=-1"], "evaluate: lr is -1.0", ["0 or more"]),
    (["--set", "relabel.temperature=0"], "relabel: temperature is 0.0", ["above 0"]),
    (["-m", "wmdd", "--matcher", "wasserstein[nrm=l2]"],
     "matcher 'wasserstein' has no option 'nrm'", ["'norm'"]),
    (["-d", "digits@4097"], "data set digits@4097 is 4097 pixels a side", ["4096 or less"]),
    (["--seeds", "100000000"], "--seeds 100000000 is out of range", ["1 to 1,000"]),
    (["--students", "100000"], "--students 100000 is out of range", ["1 to 1,000"]),
    ([""], ". is a folder", ["expected: a TOML file"]),
    (["--device", "gpu:1"], "unknown device 'gpu:1'", ["'cuda:1'"]),
    (["-t", "resnet18+"], "cannot read the teacher 'resnet18+'", ["NAME+NAME"]),
    (["--batch-size", "0"], "recover: batch_size is 0 (from recover.batch_size=0)", ["expected: "]),
    (["--batch-size", "x"], "recover option 'batch_size' cannot be 'x' (from recover.batch_size=x)",
     ["expected: int or 'auto'"]),
    (["-a", "timm:resnet81"], "unknown timm network 'resnet81'",
     ["nearest: resnet", "timm knows 1,", "did you mean 'resnet"]),
    (["-t", "timm:convnext_atta"], "unknown timm network 'convnext_atta'", ["'convnext_atto'"]),
    (["--seeds", "1000", "--ipc", ",".join(map(str, range(1, 102)))],
     "the grid has 101,000 cells", ["100,000 at most"]),
    (["-e", "coverage[neighbours=0]"], "evaluator 'coverage': neighbours is 0", ["1 or more"]),
    (["-e", "corruptions[quality=0]"], "evaluator 'corruptions': quality is 0", ["1 to 100"]),
    (["-e", "discrepancy[projections=0]"], "evaluator 'discrepancy': projections is 0",
     ["1 or more"]),
    (["-e", "calibration_error[bins=0]"], "evaluator 'calibration_error': bins is 0",
     ["expected: 1 or more"]),
    (["-d", "digits@big"], "cannot read the resolution in 'digits@big'", ["digits@64"]),
    (["-d", "folder"], "data set 'folder' needs an argument", ["folder:PATH"]),
    (["--profile", "cpu"], "unknown profile 'cpu'", ["leave --profile away"]),
    (["nothing.toml"], "no file nothing.toml", ["TOML file that exists"]),
    (["--protocol", "nothing.toml"], "no file nothing.toml", ["TOML file that exists"]),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "problem", "shown"), SLIPS, ids=lambda v: str(v)[:40])
def test_slips_of_the_pen(
    ddbench: Callable[..., Any], flags: list[str], problem: str, shown: list[str], tmp_path: Path
) -> None:
    refused(ddbench("run", *flags), problem, *shown)
    assert not (tmp_path / "cache" / "artifacts").exists()  # nothing was begun


def test_other_commands_speak_alike(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    refused(ddbench("list", "matcher"), "unknown list 'matcher'", "'matchers'")
    refused(ddbench("show", "abc"), "unknown record 'abc'", "records")
    refused(ddbench("table"), "no")
    refused(ddbench("eval", tmp_path), f"{tmp_path} is not a distilled set", "card.json")
    refused(ddbench("data", "info", "digit"), "unknown data set 'digit'", "'digits'")
    refused(ddbench("data", "verify", "imagenette"), "data set 'imagenette' needs its images")


@pytest.mark.parametrize("flag", ["--method-name", "--ipcs"])
def test_a_flag_that_does_not_exist(ddbench: Callable[..., Any], flag: str) -> None:
    outcome = ddbench("run", flag, "1")
    assert outcome.code == 2
    assert "No such option" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("flag", ["--arch", "--dataset", "--labels", "--teacher", "--protocol",
                                  "--pixels", "--evaluator"])  # fmt: skip
def test_eval_refuses_empty_flags(ddbench: Callable[..., Any], tmp_path: Path, flag: str) -> None:
    done = ddbench("eval", tmp_path, flag, " ")
    assert (done.code, done.err.splitlines()[0]) == (2, f"error: {flag} is empty")


def test_of_many_records_the_nearest_are_named(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    board = Path(__file__).parents[2] / "leaderboards" / "digits" / "records"
    shutil.copytree(board, tmp_path / "cache" / "records")
    done = ddbench("show", "wmdd-digts")
    refused(done, "unknown record 'wmdd-digts'", "did you mean 'wmdd-digits-ipc1-resnet18-seed0-")
    assert done.err.count("there is ") == 3
    assert "full-digits" not in done.err


def test_a_suite_may_begin_with_a_byte_order_mark(
    ddbench: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('method = ["random"]\nseeds = 1\nreference = false\n', encoding="utf-8-sig")
    done = ddbench("run", path, "--dry-run")
    assert done.code == 0, done.err
    assert done.out.startswith("1 cell ")


# -- files -----------------------------------------------------------------------------------------

SUITES = [
    ('method = ["wmdd"\n', "is not valid TOML", ["Unclosed array"]),
    ('methods = ["wmdd"]\n', "is not a valid suite",
     ["methods: no such field", "did you mean 'method'?"]),
    ('[[variant]]\nname = "x"\nmatch = "mean"\n', "is not a valid suite",
     ["variant.0.match: no such field", "did you mean 'matcher'?"]),
    ('seeds = 20000\n', "--seeds 20000 is out of range", ["1 to 1,000"]),
    ('ipc = true\n', "is not a valid suite", ["ipc.0: expected a whole number"]),
    ('ipc = ["one"]\n', "is not a valid suite", ["ipc.0"]),
    ('seeds = "three"\n', "is not a valid suite", ["seeds"]),
    ('[profile.cpu]\nseed_s = 1\n', "", []),
    ('[set]\n"recover.iters" = 3\n', "recover has no option 'iters'", ["iterations"]),
    ('[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nset = {recover.clamp = true}\n',
     "'b' changes nothing against 'a'", ["same key"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "shown"), SUITES, ids=lambda v: str(v)[:30])
def test_suites(
    ddbench: Callable[..., Any], tmp_path: Path, text: str, problem: str, shown: list[str]
) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(text)
    if problem:
        outcome = ddbench("run", path)
        named = problem.startswith("is ")
        refused(outcome, f"{path} {problem}" if named else problem, *shown)
    else:
        refused(ddbench("run", path), f"profile 'cpu' of {path} is not a valid suite", "seed_s: no")


PROTOCOLS = [
    ("[training]\nepochs = 2\nbatchsize = 3\n", "is not a valid protocol",
     ["training.batchsize: no such field", "did you mean 'batch_size'?"]),
    ("[training]\nepochs = 2\n[training.augmentation]\ncutmix = true\n",
     "is not a valid protocol", ["training.augmentation.cutmix: no such field; known: crop, "]),
    ("epochs = 3\n[training]\nepochs = 2\n", "is not a valid protocol",
     ["epochs: no such field; known: name"]),
    ('[training]\nepochs = "2"\n', "is not a valid protocol", ["training.epochs"]),
    ("[training]\nepochs = 2\nlr = inf\n", "is not a valid protocol",
     ["training.lr: expected a finite number"]),
    ("[training]\nepochs = true\n", "is not a valid protocol", ["training.epochs"]),
    ("[training]\nlr = 0.1\n", "is not a valid protocol", ["training.epochs: is missing"]),
    ("", "is not a valid protocol", ["training: is missing"]),
    ('[training]\nepochs = 2\nschedule = "linear"\n', "is not a valid protocol", ["'cosine'"]),
    ("[training]\nepochs = 2\n[[resolution]]\nmax_resolution = 999\ntraining = {epoch = 1}\n",
     ", max_resolution 999 is not a valid protocol", ["did you mean 'epochs'?"]),
    ("[training]\nepochs = 2\n[[resolution]]\nmax_resolution = 4\ntraining = {epoch = 1}\n",
     ", max_resolution 4 is not a valid protocol", ["did you mean 'epochs'?"]),
    ("[training]\nepochs = 2\n[[resolution]]\ntraining = {epochs = 1}\n",
     "has a row of resolutions that cannot be read", ["max_resolution = PIXELS"]),
    ("[training]\nepochs = 2\n[resolution]\nmax_resolution = 4\n",
     "has a row of resolutions that cannot be read", ["[[resolution]]"]),
    ("[training\n", "is not valid TOML", ["line 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "shown"), PROTOCOLS, ids=lambda v: str(v)[:40])
def test_protocols(
    ddbench: Callable[..., Any], tmp_path: Path, text: str, problem: str, shown: list[str]
) -> None:
    path = tmp_path / "protocol.toml"
    path.write_text(text)
    start = problem if problem.startswith(",") else f" {problem}"
    refused(ddbench("run", *QUICK, "--protocol", path), f"{path}{start}", *shown)


def test_a_row_of_resolutions_still_counts(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "protocol.toml"
    rows = "".join(
        f"[[resolution]]\nmax_resolution = {most}\ntraining = {{epochs = {epochs}}}\n"
        for most, epochs in ((64, 4), (4, 3), (8, 2))
    )
    path.write_text("[training]\nepochs = 1\nlr = 1\n" + rows)
    flags = ["--protocol", path, "-a", "convnet3_bn", "--set", "student.width=8", "--seeds", 1]
    assert ddbench("run", *QUICK, *flags).code == 0
    (record,) = Records(tmp_path / "cache" / "records").all()
    training = record.configuration["protocol"][1]["training"][1]
    assert (training["epochs"], training["lr"]) == (2, 1)
    assert record.protocol == "protocol"


# -- data ------------------------------------------------------------------------------------------


def test_data_that_are_not_there(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    refused(ddbench("run", "-d", "imagenette"), "data set 'imagenette' needs its images",
            "--data-root")  # fmt: skip
    refused(ddbench("run", "-d", "imagenette", "--data-root", tmp_path), "", str(tmp_path))
    refused(ddbench("run", "-d", "folder:/nowhere"), "data set 'folder:/nowhere' is not there",
            "PATH/<class>")  # fmt: skip


def test_an_empty_folder(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(ddbench("run", "-d", f"folder:{tmp_path / 'empty'}"), "data set 'folder:")


def test_a_folder_with_one_class(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one", "a")
    refused(ddbench("run", "-d", f"folder:{folder}"), "data set 'folder:", "two")


def test_a_link_that_leads_nowhere(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data")
    (folder / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    refused(ddbench("data", "info", f"folder:{folder}"), f"image {folder / 'b' / 'gone.png'}",
            "a link to one", "No such file")  # fmt: skip


def test_brackets_of_a_class_are_no_markup(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", ("[x] a", "[bold]"))
    done = ddbench("data", "info", f"folder:{folder}")
    assert done.code == 0, done.err
    assert "[x] a" in done.out
    assert "[bold]" in done.out


def test_a_corrupt_image_fails_its_cells_and_no_other(
    ddbench: Callable[..., Any], tmp_path: Path, alone: list[Any]
) -> None:
    folder = folder_of(tmp_path / "data")
    victim = folder / "b" / "3.png"
    victim.write_bytes(victim.read_bytes()[:60])
    outcome = ddbench("run", *alone, *QUICK, "-d", f"folder:{folder},digits", "--ipc", 1)
    failed(outcome, "error", "cannot decode image 'b/3.png'")
    states = {r.dataset: r.status for r in Records(tmp_path / "cache" / "records").all()}
    assert states.pop("digits") == "ok"
    assert set(states.values()) == {"error"}
    # mended, the same command finishes what failed and leaves the rest alone
    folder_of(tmp_path / "other")
    victim.write_bytes((tmp_path / "other" / "b" / "3.png").read_bytes())
    again = ddbench("run", *alone, *QUICK, "-d", f"folder:{folder},digits", "--ipc", 1)
    assert again.code == 0
    assert "1 cell computed, 1 finished before" in again.err


def test_classes_of_the_test_images_that_are_not_those_of_the_training_images(
    ddbench: Callable[..., Any], tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "data", "abc", split="train")
    folder_of(folder, "abd", split="val")
    refused(ddbench("run", "-d", f"folder:{folder}"), "data set 'folder:", "c", "d")


# -- networks --------------------------------------------------------------------------------------


def test_pcbn_and_a_teacher_without_batch_norm(
    ddbench: Callable[..., Any], tmp_path: Path, tiny: list[Any]
) -> None:
    flags = [
        *tiny,
        *SHORT,
        "-m",
        "wmdd,random",
        "-l",
        "hard",
        "--teacher",
        "convnet3",
        "--arch",
        "convnet3",
    ]
    outcome = ddbench("run", *flags, "--no-reference", "--ipc", 1)
    failed(outcome, "incompatible", "needs a teacher with BatchNorm2d layers", "resnet18")
    records = {r.method: r for r in Records(tmp_path / "cache" / "records").all()}
    assert records["wmdd"].status == "incompatible"
    assert records["random"].status == "ok"
    assert "BatchNorm2d" in records["wmdd"].reason


def test_what_cannot_be_combined_is_said_before_a_teacher_is_trained(
    ddbench: Callable[..., Any], tmp_path: Path, tiny: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddbench.pipeline.runner.squeeze", lambda *_: pytest.fail("trained"))
    outcome = ddbench("run", *tiny, *SHORT, "--teacher", "convnet3", "--no-reference")
    failed(outcome, "incompatible", "BatchNorm2d")
    outcome = ddbench("run", *tiny, "--no-reference", "--set", "matcher.target.layer=featurs.8")
    failed(outcome, "error", "unknown layer 'featurs.8'", "did you mean 'features.8'?")


def test_a_network_too_deep_for_the_images(ddbench: Callable[..., Any], alone: list[Any]) -> None:
    outcome = ddbench("run", *alone, *QUICK, "--arch", "convnet5")
    failed(outcome, "incompatible", "convnet5 is too deep for data set 'digits'", "3 or less")


def test_a_teacher_at_chance(ddbench: Callable[..., Any], tiny: list[Any]) -> None:
    outcome = ddbench("run", *tiny, "--no-reference", "--set", "squeeze.lr=1e-9")
    failed(outcome, "error", "chance is", "squeeze.epochs")


def test_a_loss_that_is_not_finite(ddbench: Callable[..., Any], tiny: list[Any]) -> None:
    outcome = ddbench("run", *tiny, *SHORT, "--no-reference", "--set", "regularizer.weight=1e300")
    failed(outcome, "diverged", "at iteration 1", "recover.lr")


# -- the cache -------------------------------------------------------------------------------------


def test_a_cache_that_is_a_file(ddbench: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    refused(ddbench("run", *QUICK, "--cache", path), "the cache is not a folder", str(path))
    refused(ddbench("run", *QUICK, "--cache", path / "inner"), "the cache is not a folder")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EROFS, "the cache is on a read-only disk"),
        (errno.EACCES, "the cache cannot be written"),
    ],
)
def test_a_cache_that_cannot_be_written(
    ddbench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, number: int, problem: str
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    refused(ddbench("run", *QUICK), problem, "--cache DIR")


def test_a_disk_that_is_full(
    ddbench: Callable[..., Any],
    tmp_path: Path,
    alone: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While an artifact is written: the cell fails, records stay, the next run mends it."""
    import safetensors.torch

    assert ddbench("run", *alone, *QUICK).code == 0
    folder = tmp_path / "cache"
    before = {p: p.read_bytes() for p in (folder / "records").iterdir()}
    real = safetensors.torch.save_file

    def full(tensors: Any, path: Path) -> None:
        if "recover" in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(tensors, path)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    outcome = ddbench("run", *alone, *QUICK, "--ipc", "1,2")
    failed(outcome, "error", "the disk of the cache is full", "ddbench cache gc")
    assert {p: p.read_bytes() for p in before} == before
    assert not list((folder / "artifacts").glob("*/*.tmp"))
    monkeypatch.undo()
    monkeypatch.setenv("DDBENCH_CACHE", str(folder))
    assert ddbench("run", *alone, *QUICK, "--ipc", "1,2").code == 0
    assert {p: p.read_bytes() for p in before} == before


def test_a_disk_that_is_full_when_the_record_is_written(
    ddbench: Callable[..., Any],
    tmp_path: Path,
    alone: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Path.write_text

    def full(self: Path, *text: Any, **how: Any) -> int:
        if "records" in str(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, *text, **how)

    monkeypatch.setattr(Path, "write_text", full)
    refused(ddbench("run", *alone, *QUICK), "the disk of the cache is full", "cache gc")
    assert not list((tmp_path / "cache" / "records").iterdir())


def test_a_damaged_artifact_is_set_aside_and_made_again(
    ddbench: Callable[..., Any], tmp_path: Path, alone: list[Any]
) -> None:
    assert ddbench("run", *alone, *QUICK).code == 0
    cache = Cache(tmp_path / "cache")
    records = Records(cache.root / "records")
    (before,) = records.all()
    key = before.keys["recover"][0]
    path = cache.path("recover", key) / "tensors.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert ddbench("cache", "verify").code == 1
    # another student needs the images again
    outcome = ddbench("run", *alone, *QUICK, "--set", "student.width=8")
    assert outcome.code == 0
    (told,) = [line for line in outcome.err.splitlines() if line.startswith("warning:")]
    assert f"warning: damaged artifact recover {key}: the checksum of" in told
    assert told.endswith("and made again")
    assert path.read_bytes() == whole
    assert len(list((cache.root / "damaged").iterdir())) == 1
    assert ddbench("cache", "verify").code == 0
    assert records.get(before.key) == before


def test_a_record_that_cannot_be_read(
    ddbench: Callable[..., Any], tmp_path: Path, alone: list[Any]
) -> None:
    assert ddbench("run", *alone, *QUICK).code == 0
    (path,) = (tmp_path / "cache" / "records").iterdir()
    metrics = read_record(path).metrics
    path.write_text(path.read_text()[:100])
    outcome = ddbench("run", *alone, *QUICK)
    aside = path.with_suffix(".unreadable")
    assert (outcome.code, read_record(path).metrics) == (0, metrics)
    assert aside.exists()
    assert f"warning: cannot read the record {path}" in outcome.err
    assert f"set aside as {aside.name}" in outcome.err
    path.write_text('{"schema_version": 99}')
    refused(ddbench("run", *alone, *QUICK), f"{path.name} has record schema 99", "update ddbench")
    path.unlink()
    again = ddbench("run", *alone, *QUICK)
    assert again.code == 0


# -- distilled sets --------------------------------------------------------------------------------


@pytest.fixture
def exported(ddbench: Callable[..., Any], tmp_path: Path, alone: list[Any]) -> Path:
    assert ddbench("run", *alone, *QUICK).code == 0
    (record,) = Records(tmp_path / "cache" / "records").all()
    assert ddbench("export", record.key, tmp_path / "set", "--no-images").code == 0
    return tmp_path / "set"


def test_a_distilled_set_of_other_classes_is_refused(
    ddbench: Callable[..., Any], exported: Path
) -> None:
    card = json.loads((exported / "card.json").read_text())
    card["classes"] = [*reversed(card["classes"])]
    (exported / "card.json").write_text(json.dumps(card))
    refused(
        ddbench("eval", exported, "--device", "cpu"),
        "the classes of the distilled set are not those of digits",
        "index 0: 9 in the set, 0 in the data",
    )


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("student", 3, "text"), ("dataset", ["digits"], "text"), ("profile", True, "text"),
        ("given", 3, "a table of texts, by option"), ("given", {"evaluate.lr": 1}, "a table"),
        ("seed", "x", "a whole number"), ("seed", -1, "0 or more"), ("seed", None, "0 or more"),
        ("ipc", "1", "a whole number"), ("zca", "much", "a number"),
    ],
)  # fmt: skip
def test_a_card_of_wrong_types_is_refused(
    tmp_path: Path, field: str, value: Any, expected: str
) -> None:
    found = PortableSet(
        images=torch.zeros(1, 1, 2, 2), labels=torch.zeros(1, dtype=torch.int64), pixels="unit",
        card={field: value},
    )  # fmt: skip
    with pytest.raises(DDBenchError) as caught:
        check_set(found, tmp_path)
    assert caught.value.problem.startswith(f"{tmp_path}: the card is malformed: its {field} is ")
    assert expected in caught.value.facts[0]


def test_a_command_says_that_the_card_is_malformed(
    ddbench: Callable[..., Any], exported: Path
) -> None:
    card = json.loads((exported / "card.json").read_text())
    (exported / "card.json").write_text(json.dumps({**card, "seed": "x"}))
    refused(ddbench("eval", exported), f"{exported}: the card is malformed: its seed is 'x'")


def test_a_distilled_set_of_another_resolution_is_refused(
    ddbench: Callable[..., Any], exported: Path
) -> None:
    refused(ddbench("eval", exported, "-d", "digits@16"), "the distilled images are (1, 8, 8)",
            "NAME@PIXELS")  # fmt: skip


def test_a_damaged_distilled_set_is_refused(ddbench: Callable[..., Any], exported: Path) -> None:
    path = exported / "tensors.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(ddbench("eval", exported), f"{path} is damaged", "checksum")
    path.write_bytes(whole[:50])
    refused(ddbench("eval", exported), f"{exported} cannot be read")


def test_an_export_does_not_overwrite(ddbench: Callable[..., Any], exported: Path) -> None:
    before = {p.name: p.read_bytes() for p in exported.iterdir()}
    (record,) = Records(exported.parent / "cache" / "records").all()
    refused(ddbench("export", record.key, exported), f"{exported} is not empty", "new folder")
    assert {p.name: p.read_bytes() for p in exported.iterdir()} == before
