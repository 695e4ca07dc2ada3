"""Files that are whole or not there, and the faults of a disk in one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ddbench.api.errors import DDBenchError


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that readers see the old text or the new, never a part.

    Raises:
        OSError: it cannot be written, which is the caller's to explain: see `explain_faults`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        sync(draft)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def explain_faults(root: Path) -> Iterator[None]:
    """Turns the faults of the cache's disk into one sentence.

    Raises:
        DDBenchError: full, read-only, or not a folder.
    """
    reasons = {
        errno.ENOSPC: ("the disk of the cache is full", "free some space: `ddbench cache gc`"),
        errno.EDQUOT: ("the quota of the cache's disk is used up", "free some: `ddbench cache gc`"),
        errno.EROFS: ("the cache is on a read-only disk", "--cache DIR names another place"),
        errno.EACCES: ("the cache cannot be written", "--cache DIR names another place"),
        errno.EPERM: ("the cache cannot be written", "--cache DIR names another place"),
        errno.ENOTDIR: ("the cache is not a folder", "--cache DIR names another place"),
        errno.EEXIST: ("the cache is not a folder", "--cache DIR names another place"),
    }
    try:
        yield
    except OSError as fault:
        if fault.errno not in reasons:
            raise
        problem, hint = reasons[fault.errno]
        raise DDBenchError(problem, str(root), "nothing finished is lost", hint=hint) from fault
    except Exception as fault:
        # safetensors reports a full disk as an error of its own kind, with the text inside
        if type(fault).__name__ == "SafetensorError" and "No space left" in str(fault):
            problem, hint = reasons[errno.ENOSPC]
            raise DDBenchError(problem, str(root), "nothing finished is lost", hint=hint) from fault
        raise


def sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
