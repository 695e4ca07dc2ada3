"""The command that does all work of a GPU goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gpu import Step, list_steps, work

ROOT = Path(__file__).parents[2]


def test_a_finished_step_is_not_done_again_and_a_failed_one_stops_no_other(tmp_path: Path) -> None:
    def step(name: str, code: int) -> Step:
        return Step(name, ("-c", f"open({str(tmp_path / name)!r}, 'a').write('x'); exit({code})"))

    todo = [step("fails", 3), step("works", 0)]
    assert work(todo, tmp_path / "marks", 60) == 1
    assert work(todo, tmp_path / "marks", 60) == 1
    assert (tmp_path / "fails").read_text() == "xx"
    assert (tmp_path / "works").read_text() == "x"


def test_time_that_is_up_ends_a_step_and_says_call_again(tmp_path: Path) -> None:
    endless = Step("endless", ("-c", "import time; time.sleep(600)"))
    assert work([endless], tmp_path, 0.5) == 2
    assert work([endless], tmp_path, 0) == 2
    assert not (tmp_path / "endless.done").exists()


def test_every_step_has_a_folder_or_a_suite_of_its_own(tmp_path: Path) -> None:
    found = list_steps("cuda:1", tmp_path)
    assert len({step.name for step in found}) == len(found)
    for step in found:
        assert "cuda:1" in step.words
        if "run" in step.words:
            assert "[profile.gpu]" in (ROOT / step.words[3]).read_text()
        else:
            assert str(tmp_path / step.name) in step.words
