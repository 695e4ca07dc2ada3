"""A CPU iteration keeps the memory it frees, for the next one, instead of giving it back."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1
_ALWAYS_ACCEPTED = 32 * 2**20
"""Older C libraries refuse to take larger blocks from the heap."""


def keep_freed_memory() -> bool:
    """Tells the C library's allocator to hold on to what activations have used.

    By default every large activation is mapped, cleared page by page and unmapped again, at every
    iteration: tens of thousands of page faults, a fifth of the processor time of a recover
    iteration. Peak memory is what it was; it only stays until the process ends.

    Returns:
        Whether there was such an allocator (glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    took = mallopt(_MMAP_THRESHOLD, _LARGEST) or mallopt(_MMAP_THRESHOLD, _ALWAYS_ACCEPTED)
    return bool(took and mallopt(_TRIM_THRESHOLD, _LARGEST))
