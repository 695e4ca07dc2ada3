"""Files and folders that commands write for the user: whole or not at all, faults in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ddbench.api.errors import DDBenchError
from ddbench.store.files import write_whole


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the faults of a disk into a sentence about what was to be written.

    Raises:
        DDBenchError: it cannot be written.
    """
    try:
        yield
    except OSError as fault:
        raise DDBenchError(
            f"{path} cannot be written", fault.strerror or str(fault) or type(fault).__name__,
            hint="check rights and space, or name another place",
        ) from fault  # fmt: skip


def made_folder(path: Path) -> Path:
    """A folder, made if it is not there: before the work whose results go into it.

    Raises:
        DDBenchError: it is a file, or cannot be made.
    """
    if path.exists() and not path.is_dir():
        raise DDBenchError(f"{path} is a file", "expected: a folder", hint="name a folder")
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_file(path: Path, example: str) -> None:
    """Refuses a file that cannot be written, before the work whose result goes into it.

    Raises:
        DDBenchError: it is a folder, or has none that can be made.
    """
    if path.is_dir():
        raise DDBenchError(
            f"{path} is a folder", "expected: a file", hint=f"name a file: {example}"
        )
    with explained(path):
        path.absolute().parent.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, text: str) -> None:
    """Writes a file so that an old one stays until the new one is whole.

    Raises:
        DDBenchError: it cannot be written.
    """
    with explained(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_text(text, encoding="utf-8")  # /dev/stdout, say, is not to be replaced
        else:
            write_whole(path, text)
