"""Checks of every part, whatever its kind: frozen, hashable, versioned, spelt stably."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ddbench.api.errors import DDBenchError
from ddbench.registry import PART_NAME
from ddbench.registry.forms import form_fault
from ddbench.store.keys import spell_text

PROTOCOL_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
"""Protocols are named after their files, such as `ddbench-v1`."""


def check_name(kind: str, name: str) -> Iterator[str]:
    """Names are lower_snake_case."""
    pattern = PROTOCOL_NAME if kind == "protocol" else PART_NAME
    if not pattern.fullmatch(name):
        yield f"name '{name}' is not lower_snake_case"


def check_structure(kind: str, part: Any) -> Iterator[str]:
    """Checks that a part has the members of its role, and a key that means it and nothing else."""
    fault = form_fault(kind, part)
    if fault:
        yield fault
    if isinstance(part, type) or not dataclasses.is_dataclass(part):
        return
    own: Any = type(part)
    if not own.__dataclass_params__.frozen:
        yield "is not frozen: @dataclass(frozen=True, slots=True)"
    if any(field.name == "version" for field in dataclasses.fields(part)):
        yield "has an option `version`: write `version: ClassVar[int] = 1`"
    version = getattr(type(part), "version", 1)
    if not isinstance(version, int) or isinstance(version, bool):
        yield f"has version {version!r}, expected an int"
    yield from _check_value(part)


def _check_value(part: Any) -> Iterator[str]:
    """Equal options, equal part, equal key."""
    try:
        hash(part)
    except TypeError as fault:
        yield f"cannot be hashed ({fault}): make options of numbers, strings, tuples"
        return
    for twin in (dataclasses.replace(part), copy.deepcopy(part)):
        if twin != part or hash(twin) != hash(part):
            yield "is not equal to its copy: leave __eq__ and __hash__ to dataclass"
            return
    try:
        text = spell_text(part)
    except DDBenchError as fault:
        yield fault.problem
        return
    if spell_text(dataclasses.replace(part)) != text or not json.loads(text):
        yield "is spelt otherwise than its copy"
    if "<locals>" in text:
        yield f"{type(part).__name__} is defined inside a function: its key has no import path"


# -- what all checks share -------------------------------------------------------------------------


def guarded(what: str, check: Callable[[], Iterator[str]]) -> Iterator[str]:
    """The problems of a check, and the exception that ended it as one more."""
    try:
        yield from check()
    except Exception as fault:  # a stranger's part may raise anything
        yield f"{what} raised {type(fault).__name__}{_where(fault)}: {_first_line(fault)}"


def _first_line(fault: Exception) -> str:
    text = fault.problem if isinstance(fault, DDBenchError) else str(fault)
    return (text or "no message").splitlines()[0]


def _where(fault: Exception) -> str:
    """The last line of code outside of libraries, where the author will look first."""
    place = ""
    trace = fault.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in ("torch", "numpy", "ddbench", "dataclasses"):
            place = f" ({file.rpartition('/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def same(first: Any, second: Any) -> bool:
    """Equal bit for bit: tensors, numbers, or mappings of these."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and torch.equal(first.nan_to_num(), second.nan_to_num())
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[n], second[n]) for n in first)
    return bool(first == second or (first != first and second != second))


def finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def check_loss(what: str, value: Any) -> Iterator[str]:
    """A finite scalar tensor."""
    if not isinstance(value, Tensor):
        yield f"{what} gave {type(value).__name__}, expected a scalar tensor"
    elif value.shape != () or not value.dtype.is_floating_point:
        yield f"{what} gave {value.dtype} of shape {list(value.shape)}, expected a scalar float"
    elif not finite(value):
        yield f"{what} gave {value.item()}"
