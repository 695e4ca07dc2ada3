"""Stages report how far they are: nothing, lines, or bars that vanish."""

from __future__ import annotations

import io

from rich.console import Console

from ddbench.runtime.progress import NoProgress, PlainProgress, RichProgress


def test_no_progress_takes_every_report(capsys) -> None:
    progress = NoProgress()
    with progress.stage("squeeze", 3) as advance:
        advance()
        advance(2, note="loss 0.1")
    progress.say("done")
    assert capsys.readouterr() == ("", "")


def test_plain_progress_writes_lines_and_no_bars() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    with progress.stage("squeeze", 3) as advance:
        advance(3)
    progress.say("squeeze: 3 epochs")
    assert lines == ["squeeze: 3 epochs"]


def test_bars_show_title_steps_and_note_and_lines_stay() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with RichProgress(console) as progress:
        with progress.stage("recover: [b]", 4) as advance:
            advance(3, note="loss 0.25")
            progress._bars.refresh()
            shown = written.getvalue()
            advance(1)
        assert not progress._bars.tasks
        progress.say("a [line] stays")
    assert "3/4" in shown
    assert "loss 0.25" in shown
    assert "a [line] stays" in written.getvalue()
