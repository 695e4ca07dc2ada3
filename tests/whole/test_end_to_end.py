"""Whole commands on real digits: what is finished is never done again, and numbers stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddbench.api.record import Record
from ddbench.pipeline import runner, students
from ddbench.store.cache import DAY, Cache
from ddbench.store.records import Records

STAGES = {
    "squeeze": "squeeze", "statistics": "compute_statistics", "targets": "find_atoms",
    "recover": "recover", "relabel": "relabel", "evaluate": "evaluate",
}  # fmt: skip
"""Function that makes each."""
SHORT = ["--set", "recover.iterations=3"]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stage was really run."""
    count: Counter[str] = Counter()

    def counted(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            count[name] += 1
            return stage(*arguments)

        return run

    for name, made_by in STAGES.items():
        module = students if name == "evaluate" else runner
        monkeypatch.setattr(module, made_by, counted(name, getattr(module, made_by)))
    return count


def records(cache: Cache) -> dict[str, Record]:
    return {r.variant or r.method: r for r in Records(cache.root / "records").all()}


def numbers(found: dict[str, Record]) -> dict[str, Any]:
    """What must never depend on how a run went."""
    return {name: (r.key, r.metrics, r.keys, r.status) for name, r in found.items()}


def artifacts(cache: Cache) -> Counter[str]:
    return Counter(stage for stage, _, _ in cache.entries())


# -- what is shared and what is kept ---------------------------------------------------------------


def test_a_grid_and_its_second_run(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    first = ddbench("run", *tiny, *SHORT, "--format", "md")
    assert first.code == 0, first.err
    assert "3 cells computed, 0 finished before" in first.err
    assert ran == {"squeeze": 1, "statistics": 1, "targets": 1, "recover": 3, "evaluate": 3}
    found = records(cache)
    assert set(found) == {"wmdd", "random", "full"}
    assert all(r.status == "ok" and 0 <= r.metrics[0]["top1"] <= 100 for r in found.values())
    assert found["wmdd"].reports["teacher_top1"] > 30
    for title in ("WMDD", "random selection", "full data"):
        assert title in first.out
    before = {p: p.read_bytes() for p in (cache.root / "records").iterdir()}
    ran.clear()

    second = ddbench("run", *tiny, *SHORT, "--format", "md")
    assert second.code == 0
    assert "0 cells computed, 3 finished before" in second.err
    assert not ran
    assert second.out == first.out
    assert {p: p.read_bytes() for p in (cache.root / "records").iterdir()} == before
    assert ddbench("table", "--format", "md").out == first.out


def test_the_order_of_the_flags_does_not_matter(
    ddbench: Callable[..., Any], tiny: list[Any], ran: Counter[str]
) -> None:
    assert ddbench("run", *tiny, *SHORT, "-m", "wmdd,random", "--ipc", "1,2").code == 0
    ran.clear()
    turned = ["--ipc", "2,1", "--method", "random,wmdd", *SHORT, *tiny]
    outcome = ddbench("run", *turned)
    assert "0 cells computed" in outcome.err
    assert not ran


def test_a_new_evaluator_trains_nothing(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    assert ddbench("run", *tiny, *SHORT).code == 0
    before = records(cache)
    ran.clear()
    outcome = ddbench("run", *tiny, *SHORT, "-e", "discrepancy")
    assert outcome.code == 0, outcome.err
    assert not set(ran) - {"statistics"}  # a pass over the real data may be missing, no training
    after = records(cache)
    assert {name: r.key for name, r in after.items()} == {n: r.key for n, r in before.items()}
    for name, record in after.items():
        old = before[name].metrics[0]
        assert record.metrics[0].items() > old.items()
        assert set(record.metrics[0]) - set(old) == {"w2", "sliced", "mmd"}
    assert after["full"].metrics[0]["w2"] == pytest.approx(0, abs=1e-6)
    assert after["random"].metrics[0]["w2"] > 0.01
    ran.clear()
    again = ddbench("run", *tiny, *SHORT)  # fewer evaluators: nothing to do, nothing lost
    assert "0 cells computed" in again.err
    assert records(cache) == after
    assert ddbench("run", *tiny, *SHORT, "-e", "calibration_error").code == 0
    for name, record in records(cache).items():  # another one: what was found before stays
        assert record.metrics[0].items() > after[name].metrics[0].items()
        assert {"discrepancy", "calibration_error"} < set(record.evaluators)
        assert set(record.metrics[0]) == set(record.units)


def test_another_student_does_not_distil_again(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    both = ddbench("run", *tiny, *SHORT, "--arch", "convnet3_bn,convnet3", "--no-reference")
    assert both.code == 0, both.err
    together = 1  # both students learn from one stream
    assert ran == {
        "squeeze": 1, "statistics": 1, "targets": 1, "recover": 1, "evaluate": together,
    }  # fmt: skip
    assert artifacts(cache)["evaluate"] == 2
    ran.clear()
    assert ddbench("run", *tiny, *SHORT, "--arch", "convnet4", "--no-reference").code == 1
    assert not ran - Counter({"evaluate": 1})  # too deep for 8 pixels, said without distilling
    ran.clear()
    wider = [*tiny, *SHORT, "--no-reference", "--set", "student.width=24", "--students", "2"]
    assert ddbench("run", *wider).code == 0
    assert ran == {"evaluate": together}
    found = artifacts(cache)
    assert (found["recover"], found["evaluate"]) == (1, 4)


def test_more_seeds_share_the_teacher(
    ddbench: Callable[..., Any], tiny: list[Any], ran: Counter[str]
) -> None:
    assert ddbench("run", *tiny, *SHORT, "--no-reference").code == 0
    ran.clear()
    assert ddbench("run", *tiny, *SHORT, "--no-reference", "--seeds", "2").code == 0
    assert ran == {"targets": 1, "recover": 1, "evaluate": 1}


# -- labels ----------------------------------------------------------------------------------------


def test_stored_labels_and_labels_asked_while_training_give_the_same_student(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    flags = [*tiny, *SHORT, "--no-reference", "--ipc", 2, "--set", "evaluate.epochs=6"]
    assert ddbench("run", *flags).code == 0
    (online,) = records(cache).values()
    (cache.root / "records" / online.file_name).unlink()
    assert ddbench("run", *flags, "--set", "relabel.store=true").code == 0
    (stored,) = records(cache).values()
    assert ran["relabel"] == 1
    assert stored.key != online.key
    assert stored.keys["recover"] == online.keys["recover"]
    assert stored.metrics == online.metrics
    assert stored.label_bytes > online.label_bytes

    def logits(record: Record) -> Any:
        artifact = cache.load("evaluate", record.keys["evaluate"][0])
        assert artifact is not None
        return artifact.tensors()["logits"]

    assert (logits(stored) == logits(online)).all()


# -- a distilled set on its own --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wmdd", "random"])
def test_eval_gives_the_number_of_the_run(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, tmp_path: Path, method: str
) -> None:
    """Of the method and of its reference row; options of teacher, student and labels count."""
    flags = [*tiny, *SHORT, "--seed", 3, "--ipc", 2, "--set", "relabel.temperature=4"]
    assert ddbench("run", *flags).code == 0
    record = records(cache)[method]
    assert ddbench("export", record.key, tmp_path / "set").code == 0
    assert len(list((tmp_path / "set" / "images").glob("*/*.png"))) == 20
    assert json.loads((tmp_path / "set" / "card.json").read_text())["metrics"] == record.metrics
    protocol = tiny[tiny.index("--protocol") + 1]
    judge = ["eval", tmp_path / "set", "--seeds", 1, "--device", "cpu", "--precision", "fp32",
             "--cache", tmp_path / "elsewhere"]  # fmt: skip
    judged = ddbench(*judge, "--protocol", protocol)
    assert judged.code == 0, judged.err
    (again,) = records(Cache(tmp_path / "elsewhere")).values()
    assert again.metrics == record.metrics
    assert again.reports["teacher_top1"] == record.reports["teacher_top1"]
    unnamed = ddbench(*judge)
    assert unnamed.code == 2
    assert "unknown protocol 'tiny'" in unnamed.err


def a_day_later(cache: Cache) -> None:
    """All that is in the cache grows old."""
    for path in cache.root.rglob("*"):
        stamp = path.stat().st_mtime - DAY - 1
        os.utime(path, (stamp, stamp))


# -- care of the cache -----------------------------------------------------------------------------


def test_cache_ls_verify_and_gc(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    flags = [*tiny, *SHORT]
    assert ddbench("run", *flags).code == 0
    listed = ddbench("cache", "ls").out
    for stage, count in artifacts(cache).items():
        assert sum(line.startswith(stage) for line in listed.splitlines()) == count
    assert ddbench("cache", "verify").code == 0
    everything = artifacts(cache)
    assert ddbench("cache", "gc").code == 0
    assert artifacts(cache) == everything  # every one belongs to a record

    full = records(cache)["full"]
    (cache.root / "records" / full.file_name).unlink()
    assert ddbench("cache", "gc").code == 0
    assert artifacts(cache) == everything  # made today: a running process may want it
    a_day_later(cache)
    would = ddbench("cache", "gc", "--dry-run").out
    assert "would free" in would
    assert artifacts(cache) == everything
    assert ddbench("cache", "gc").out.startswith("freed")
    assert artifacts(cache) == everything - Counter({"recover": 1, "evaluate": 1})
    ran.clear()
    again = ddbench("run", *flags)
    assert "1 cell computed, 2 finished before" in again.err
    assert ran == {"recover": 1, "evaluate": 1}
    assert records(cache)["full"].metrics == full.metrics

    path = cache.path("evaluate", full.keys["evaluate"][0]) / "tensors.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = ddbench("cache", "verify")
    assert found.code == 1
    assert f"damaged: evaluate {full.keys['evaluate'][0]}: the checksum of" in found.out


def test_a_dry_run_makes_nothing(
    ddbench: Callable[..., Any], tiny: list[Any], tmp_path: Path, ran: Counter[str]
) -> None:
    outcome = ddbench("run", *tiny, *SHORT, "--dry-run")
    assert outcome.code == 0
    assert "3 cells" in outcome.out
    assert "(to run)" in outcome.out
    assert not (tmp_path / "cache").exists()
    assert not ran
    assert ddbench("run", *tiny, *SHORT).code == 0
    assert "(to run)" not in ddbench("run", *tiny, *SHORT, "--dry-run").out


# -- kill -9 ---------------------------------------------------------------------------------------

LONG = ["--set", "recover.iterations=80", "--set", "recover.batch_size=2", "--no-reference"]
"""Five groups, long enough to be seen."""

MOMENTS = {
    "data": "artifacts/data/*",
    "teacher": "artifacts/squeeze/*",
    "second group": "partial/recover-*/000001.safetensors",
    "images": "artifacts/recover/*",
}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """Numbers of a run that nothing stopped; the first test fills them in."""
    return {}


def flags_of(tiny: list[Any]) -> list[str]:
    return [str(flag) for flag in (*tiny, *LONG)]


def begun(flags: list[str], cache: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ddbench", "run", *flags],
        env={**os.environ, "DDBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    "moment",
    ["second group", *(pytest.param(m, marks=pytest.mark.slow) for m in MOMENTS if m[0] != "s")],
)
def test_after_a_kill_the_same_command_goes_on(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, tmp_path: Path, moment: str,
    undisturbed: dict[str, Any], ran: Counter[str],
) -> None:  # fmt: skip
    flags = flags_of(tiny)
    if not undisturbed:
        assert ddbench("run", *flags, "--cache", tmp_path / "calm").code == 0
        undisturbed.update(numbers(records(Cache(tmp_path / "calm"))))
        ran.clear()
    process = begun(flags, cache.root)
    end = time.monotonic() + 120
    while not list(cache.root.glob(MOMENTS[moment])) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()
    assert not list((cache.root / "records").iterdir())
    kept = {folder: folder.stat().st_mtime_ns for _, _, folder in cache.entries()}
    groups = {p: p.stat().st_mtime_ns for p in cache.root.glob("partial/*/*.safetensors")}
    assert groups if moment == "second group" else not groups or moment == "images"

    outcome = ddbench("run", *flags)
    assert outcome.code == 0, outcome.err
    assert "warning" not in outcome.err
    assert numbers(records(cache)) == undisturbed
    for folder, made in kept.items():
        assert folder.stat().st_mtime_ns == made
        assert ran[folder.parent.name] == 0
    assert ran["recover"] == (moment != "images")
    assert not list(cache.root.glob("partial/recover-*"))
    assert ddbench("cache", "verify").code == 0
    a_day_later(cache)
    ddbench("cache", "gc")  # drafts that the kill left behind
    assert not [*cache.root.glob("artifacts/*/*.tmp"), *cache.root.glob("partial/*")]


@pytest.mark.slow
def test_two_processes_share_a_cache(
    ddbench: Callable[..., Any], tiny: list[Any], cache: Cache, ran: Counter[str]
) -> None:
    flags = flags_of(tiny)
    both = [begun(flags, cache.root) for _ in range(2)]
    ends = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert artifacts(cache) == {
        "data": 1, "squeeze": 1, "statistics": 2, "targets": 1, "recover": 1, "evaluate": 1,
    }  # fmt: skip
    assert ddbench("cache", "verify").code == 0
    assert "0 cells computed" in ddbench("run", *flags).err
    assert not ran
