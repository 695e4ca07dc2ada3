"""One switch back to plain operations, for whoever doubts a number: `DDBENCH_PLAIN=1`."""

from __future__ import annotations

import os

SWITCH = "DDBENCH_PLAIN"


def use_plain_operations() -> bool:
    """Tells whether the kernels of ddbench are off, so that torch and POT compute everything.

    With `DDBENCH_PLAIN=1` in the environment networks keep torch's own layers, moments of
    activations are torch's means, taken in hooks, and POT solves every transport for all points at
    once. Results then agree up to rounding, which a training makes grow. Runs are slower and take
    more memory.

    The switch is part of no key: stages that are finished are loaded, however they were computed.
    To compute them again, name another folder with `--cache`. Records that were made with it say so
    in their environment (`"plain": true`).
    """
    return os.environ.get(SWITCH, "") not in ("", "0")
