"""A device that is not there, for machines without a GPU: where tensors lie is checked, as on one.

Its tensors hold CPU tensors and do what those do, so that results are the CPU's to the last bit. An
operation on tensors of both devices fails as it does on a GPU, `numpy()` refuses, and a generator
of the CPU does not draw on the device. What this cannot show is memory, speed and kernels.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended"
aten = torch.ops.aten
COPIES = (aten.copy_.default, aten._to_copy.default)
INDEXED = (
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
)  # fmt: skip


class There(Tensor):
    """A tensor on the device."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        return Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, layout=here.layout, device=torch.device(NAME, 0),
        )  # fmt: skip

    def __init__(self, here: Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:  # type: ignore[override]
        return f"There({self.here!r})"

    def tolist(self) -> Any:
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})


class _Operations(TorchDispatchMode):
    """Tensors that are made on the device, or sent there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """`torch.tensor(…, device=…)` makes its tensor where no dispatch mode sees it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and _named(kwargs.get("device")):
            device, learned = kwargs.pop("device"), kwargs.pop("requires_grad", False)
            return function(*args, **kwargs).to(device).requires_grad_(learned)
        return function(*args, **kwargs)


def _named(device: object) -> bool:
    return device is not None and torch.device(device).type == NAME  # type: ignore[arg-type]


def _run(operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    target = kwargs.get("device")
    on_device = _named(target) if target is not None else bool(there)
    if there and operation not in COPIES:
        _refuse_strays(operation, args, tensors)
    if on_device and kwargs.get("generator") is not None:
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")
    if operation is aten.copy_.default:
        _here(args[0]).copy_(_here(args[1]))
        return args[0]
    if _named(target):
        kwargs = {**kwargs, "device": torch.device("cpu")}
    made = operation(*tree_map(_here, args), **tree_map(_here, dict(kwargs)))
    if not on_device:
        return made
    made = tree_map(_there, made)
    if not there or operation is aten._to_copy.default:
        return made
    return return_and_correct_aliasing(operation, args, kwargs, made)


def _refuse_strays(operation: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """A GPU takes numbers of the CPU into its arithmetic, and indices from there; nothing else."""
    looked = tensors
    if operation in INDEXED:
        looked = [leaf for leaf in (args[0], *args[2:3]) if isinstance(leaf, Tensor)]
    joins = operation in (aten.cat.default, aten.stack.default)
    stray = [t for t in looked if not isinstance(t, There) and (t.dim() or joins)]
    if stray:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{NAME}:0 and cpu! ({operation}, shapes {[tuple(t.shape) for t in tensors]})"
        )


def _here(value: Any) -> Any:
    return value.here if isinstance(value, There) else value


def _there(value: Any) -> Any:
    return There(value) if isinstance(value, Tensor) and not isinstance(value, There) else value


@contextlib.contextmanager
def pretended() -> Iterator[str]:
    """The device's name. Enter it before the first backward pass of a process: autograd counts
    devices once. Threads that start inside know the device too."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]
    run = threading.Thread.run

    def with_device(thread: threading.Thread) -> None:
        with _Operations(), _Literals():
            run(thread)

    with mock.patch.object(threading.Thread, "run", with_device), _Operations(), _Literals():
        yield f"{NAME}:0"


if __name__ == "__main__":  # `python -m tests.doubles.pretended_device run` is `ddbench run` on it
    from ddbench.cli import main
    from ddbench.config import session

    with pretended() as device, mock.patch.object(session, "choose_device", return_value=device):
        main()
