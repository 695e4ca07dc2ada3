"""Loads `.pt` files of strangers: tensors, numbers and containers, and nothing that runs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddbench.api.errors import DDBenchError

_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "u1", "?")),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
]
"""Accuracies and boxes of the released codes are numbers of NumPy; its old and new names."""
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)|class ([\w.]+)")


def load(path: Path) -> Any:
    """Loads a `.pt` file onto the CPU. Nothing in it is executed.

    Raises:
        DDBenchError: there is no such file, it is damaged, or it asks for code to be run.
    """
    if not path.is_file():
        raise DDBenchError(f"no file {path}", hint="check the path")
    try:
        with torch.serialization.safe_globals(_NUMPY), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, it refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as fault:
        raise _make_refusal(path, str(fault)) from fault
    except MemoryError:
        raise
    except Exception as fault:  # torch raises many kinds for damaged files
        first = (str(fault) or type(fault).__name__).splitlines()[0][:120]
        raise _make_error(path, first) from fault


def _make_refusal(path: Path, said: str) -> DDBenchError:
    named = _GLOBAL.search(said)
    if named is None:
        return _make_error(path, "its pickle is not one that torch writes")
    wanted = named[1] or named[2]
    return DDBenchError(
        f"{path} was refused: loading it would run {wanted}",
        "only tensors and numbers are read; nothing was executed",
        hint="if you trust its author, save its tensors alone and import those",
    )


def _make_error(path: Path, why: str) -> DDBenchError:
    whole = path.stat().st_size and (zipfile.is_zipfile(path) or path.read_bytes()[:1] == b"\x80")
    facts = (why,) if whole else (why, "is it cut short, or not a file of torch.save?")
    return DDBenchError(f"{path} cannot be read", *facts, hint="fetch the file again")


def check_tensor(value: Any, path: Path, name: str) -> torch.Tensor:
    """Returns a plain tensor of a loaded file.

    Raises:
        DDBenchError: it is something else, or pretends to be larger than its file.
    """
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized:
        kind = type(value).__name__
        raise DDBenchError(
            f"{path}: {name} should be a plain tensor, and is {kind}",
            hint="is the file of this format? `ddbench list formats`",
        )
    size, there = value.numel() * value.element_size(), path.stat().st_size
    if size > there:
        raise DDBenchError(
            f"{path}: {name} claims {size} bytes in a file of {there}",
            "a tensor that repeats itself could fill all memory",
            hint="save it with .contiguous()",
        )
    return value.detach().contiguous()


def to_single(images: torch.Tensor) -> torch.Tensor:
    """Returns images as bytes or float32; half and double precision become single."""
    return images.float() if images.dtype in (torch.float16, torch.float64) else images
