"""Writes what commands give the user: files, whole or not at all, and progress."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from ddbench.api.errors import DDBenchError
from ddbench.store.files import write_whole

if TYPE_CHECKING:
    from rich.table import Table

    from ddbench.runtime.progress import Progress


@contextlib.contextmanager
def show_progress() -> Iterator[Progress]:
    """Shows bars where standard error is a terminal, a few lines elsewhere."""
    from rich.console import Console

    from ddbench.runtime.progress import PlainProgress, RichProgress

    console = Console(stderr=True)
    if console.is_terminal:
        with RichProgress(console) as bars:
            yield bars
    else:
        yield PlainProgress(lambda text: typer.echo(text, err=True) if text else None)


def make_table(*columns: str, right: Collection[str] = (), title: str = "") -> Table:
    """Makes a table without lines, to be filled with rows and printed.

    Args:
        columns: Heads of the columns; no heads are shown if the first is "".
        right: The columns whose cells are set to the right.
        title: What stands above the table.
    """
    from rich.table import Table

    view = Table(
        box=None,
        pad_edge=False,
        show_header=bool(columns[0]),
        title=title or None,
        title_justify="left",
        title_style="bold",
    )
    for number, name in enumerate(columns):
        justify: Literal["left", "right"] = "right" if name in right else "left"
        view.add_column(name, justify=justify, overflow="fold", no_wrap=number == 0)
    return view


@contextlib.contextmanager
def explain_faults(path: Path) -> Iterator[None]:
    """Turns the faults of a disk into a sentence about what was to be written.

    Raises:
        DDBenchError: it cannot be written.
    """
    try:
        yield
    except OSError as fault:
        raise DDBenchError(
            f"{path} cannot be written",
            fault.strerror or str(fault) or type(fault).__name__,
            hint="check rights and space, or name another place",
        ) from fault


def make_folder(path: Path) -> None:
    """Makes a folder, unless it is there, before the work whose results go into it.

    Raises:
        DDBenchError: it is a file, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise DDBenchError(f"{path} is a file", "expected: a folder", hint="name a folder")
    with explain_faults(path):
        path.mkdir(parents=True, exist_ok=True)


def check_file(path: Path, example: str) -> None:
    """Refuses a file that cannot be written, before the work whose result goes into it.

    Raises:
        DDBenchError: it is a folder, or has none that can be made.
    """
    if path.is_dir():
        hint = f"name a file: {example}"
        raise DDBenchError(f"{path} is a folder", "expected: a file", hint=hint)
    with explain_faults(path):
        path.absolute().parent.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, text: str) -> None:
    """Writes a file so that an old one stays until the new one is whole.

    Raises:
        DDBenchError: it cannot be written.
    """
    with explain_faults(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_text(text, encoding="utf-8")  # /dev/stdout, say, is not to be replaced
        else:
            write_whole(path, text)
