"""A method that learns labels and a rate: run, exported and evaluated again, with one result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddbench.api.record import Record
from ddbench.store.records import Records
from tests.doubles import learning
from tests.doubles.installed import install

CPU = ["--device", "cpu", "--precision", "fp32", "--seeds", 1]
STUDENT = ["--arch", "convnet3_bn", "--set", "student.width=16"]
RUN = ["run", "--method", "learner", "--ipc", 2, "--no-reference", *STUDENT, *CPU]
SHORT = ["--set", "evaluate.epochs=2", "--set", "evaluate.batch_size=10"]
PROTOCOL = """
name = "theirs"
learned_rate = true

[training]
epochs = 2
batch_size = 10
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in `learner` beside the built-in ones."""
    site = tmp_path / "site"
    install(site, "ddbench-learner", {"learner_plugin": Path(learning.__file__).read_text()})
    monkeypatch.syspath_prepend(str(site))


def only_record(cache: Path) -> Record:
    (record,) = Records(cache / "records").all()
    return record


def test_a_set_with_learned_labels_and_rate_gives_its_numbers_again(
    ddbench: Callable[..., Any], tmp_path: Path
) -> None:
    done = ddbench(*RUN, *SHORT, "--set", "evaluate.learned_rate=true")
    assert done.code == 0, done.err
    record = only_record(tmp_path / "cache")
    assert (record.labels, record.reports["recover.learned_rate"]) == ("learned", 0.02)
    assert record.label_bytes == 20 * 8 + 20 * 10 * 4
    assert "squeeze" not in record.keys
    for form in ("ddbench", "mtt"):
        path, cache = tmp_path / form, tmp_path / "judged" / form
        done = ddbench("export", record.key, path, "--format", form)
        assert done.code == 0, done.err
        assert "learned labels, learned step size 0.02" in done.out
        done = ddbench("eval", path, *CPU, "--cache", cache)
        assert done.code == 0, done.err
        again = only_record(cache)
        assert again.metrics == record.metrics
        assert (again.labels, again.label_bytes) == ("learned", record.label_bytes)
    done = ddbench("reproduce", record.key)  # another seed is another number
    assert f"committed {record.metrics[0]['top1']:.1f} %" in done.out + done.err
    done = ddbench("export", record.key, tmp_path / "folders", "--format", "sre2l")
    assert done.code == 2
    assert "no place for learned labels" in done.err


def test_the_method_need_not_be_installed_where_its_set_is_evaluated(
    ddbench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, path = tmp_path / "theirs.toml", tmp_path / "set"
    protocol.write_text(PROTOCOL)
    assert ddbench(*RUN, "--protocol", protocol).code == 0
    record = only_record(tmp_path / "cache")
    assert ddbench("export", record.key, path).code == 0
    monkeypatch.setenv("DDBENCH_PLUGINS", "ddbench")

    def evaluate(name: str, *flags: object) -> dict[str, Record]:
        cache = tmp_path / name
        done = ddbench("eval", path, "--protocol", protocol, *CPU, "--cache", cache, *flags)
        assert done.code == 0, done.err
        return {record.method: record for record in Records(cache / "records").all()}

    records = evaluate("own", "--reference")
    assert records["learner"].metrics == record.metrics
    labels = {name: found.labels for name, found in records.items()}
    assert labels == {"learner": "learned", "random": "hard", "full": "hard"}
    assert evaluate("stored", "--labels", "stored")["learner"].metrics == record.metrics
    hard = evaluate("hard", "--labels", "hard")["learner"]
    assert hard.label_bytes == 20 * 8
    assert hard.metrics != record.metrics


def test_a_set_without_learned_labels_or_rate_says_so(
    ddbench: Callable[..., Any], tmp_path: Path
) -> None:
    protocol, path = tmp_path / "theirs.toml", tmp_path / "set"
    protocol.write_text(PROTOCOL)
    random = ["run", "--method", "random", "--labels", "hard", "--ipc", 2, "--no-reference"]
    done = ddbench(*random, *STUDENT, *CPU, *SHORT)
    assert done.code == 0, done.err
    assert ddbench("export", only_record(tmp_path / "cache").key, path).code == 0
    done = ddbench("eval", path, "--labels", "learned", *CPU)
    assert done.code == 2
    assert "the images of method 'random' come without learned labels" in done.err
    done = ddbench("eval", path, "--protocol", protocol, *CPU)
    assert done.code == 2
    assert "the images of method 'random' come without a learned rate" in done.err
