"""Seeds by name: the same names give the same draws, alone, in a grid or on a cluster."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(root: int, *names: object) -> int:
    """Derives a 63-bit seed from a root and a path of names: `(0, "recover", "group", 3)`."""
    text = "/".join([str(root), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(root: int, *names: object) -> torch.Generator:
    """Returns a generator of the CPU with such a seed: every device then sees the same draws."""
    return torch.Generator().manual_seed(derive_seed(root, *names))
