"""Progress bars for long stages on a terminal; silence elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

Advance = Callable[..., None]
"""Call with the number of steps done and, if you like, a short `note`."""


@runtime_checkable
class Progress(Protocol):
    """Where stages report how far they are."""

    def stage(self, title: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """Opens a bar for one piece of work."""
        ...

    def say(self, text: str) -> None:
        """Writes a line for the user, above the bars."""
        ...


class NoProgress:
    """A progress that says nothing."""

    @contextlib.contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Advance]:
        def advance(steps: int = 1, note: str = "") -> None:
            del steps, note

        yield advance

    def say(self, text: str) -> None:
        del text


class PlainProgress(NoProgress):
    """Lines without bars, for logs and pipes."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write

    def say(self, text: str) -> None:
        self._write(text)


class RichProgress:
    """Bars on the terminal's standard error, so that standard output stays clean for tables."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
        )

    def __enter__(self) -> RichProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Advance]:
        task = self._bars.add_task(title, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            fields: dict[str, Any] = {"note": note} if note else {}
            self._bars.update(task, advance=steps, **fields)

        try:
            yield advance
        finally:
            self._bars.remove_task(task)

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)
