"""Seeds by name: the same names give the same draws, alone, in a grid or on a cluster."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(root: int, *names: object) -> int:
    """A 63-bit seed for a root seed and a path of names, such as `(0, "recover", "group", 3)`."""
    text = "/".join([str(root), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(root: int, *names: object) -> torch.Generator:
    """A CPU generator: draws are made on the CPU, so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive_seed(root, *names))
