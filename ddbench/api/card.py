"""The card of a method: its paper, code, licence and published figures, read from a TOML file.

Imports `ddbench.api` alone. Nothing of a card is in a key: correcting one leaves caches warm.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ddbench.api.errors import DDBenchError

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Metered = Literal["top1", "iteration_seconds", "total_seconds", "peak_bytes"]
"""What papers claim: percent, seconds, seconds, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A published figure, shown beside the measured one."""

    __pydantic_config__: ClassVar = _STRICT

    dataset: str
    ipc: int
    student: str
    """Its architecture; "" where the paper says nothing of it."""
    value: float
    """Top-1 in percent, or what `metric` says."""
    sd: float | None = None
    source: str = ""
    setting: str = ""
    metric: Metered = "top1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where some of a method's settings come from."""

    __pydantic_config__: ClassVar = _STRICT

    settings: str
    """Which, and for which data sets and IPC."""
    source: Literal["paper", "code", "second hand", "here"]
    """The paper; the authors' code; quoted by others; chosen or tuned here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """What is known of a method beside its settings; all of it is for readers, none in a key."""

    __pydantic_config__: ClassVar = _STRICT

    title: str = ""
    """Name in tables."""
    reference: str = ""
    """Authors, title, venue and year of the paper, and its arXiv number."""
    year: int | None = None
    """Year of the publication; None where there is no paper."""
    venue: str = ""
    """Conference or journal, such as ICCV; "arXiv" for a paper that is only there."""
    arxiv: str = ""
    """Number on arXiv, such as 2311.18531."""
    code: str = ""
    """Address of the authors' code, or a sentence that none was released."""
    licence: str = ""
    """Of the authors' code, and what that means for this one."""
    objective: str = ""
    """What is made small, or how images are chosen, in a line or a few."""
    notes: tuple[str, ...] = ()
    """What deviates from the paper, known issues."""
    bibtex: str = ""
    """One entry, or several."""
    claims: tuple[Claim, ...] = ()
    """Published figures, one a row; of two for the same data set and student the first counts."""
    provenance: tuple[Provenance, ...] = ()
    """Where the settings come from; every one is covered."""


@cache
def read_card(path: Path) -> MethodCard:
    """Returns the card in a TOML file, whose keys are the fields of `MethodCard`.

    A table of `claims` may hold `rows`: each is a claim, with what the table says of all of them.
    A file with `like = "wmdd"` takes what it leaves out from `wmdd.toml` beside it, which has no
    `like` itself. Every file is read once in a process.

    Raises:
        DDBenchError: the file is missing or malformed, or has a field that is unknown or wrong.
    """
    try:
        text = json.dumps(_read_fields(path), default=str)  # an array may be a tuple in JSON
        return _adapter().validate_json(text, strict=True)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise DDBenchError(f"cannot read the card {path}", str(fault)) from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DDBenchError(
            f"the card {path} has a wrong field '{field}': {first['msg']}"
        ) from fault


@cache
def _adapter() -> TypeAdapter[MethodCard]:
    return TypeAdapter(MethodCard)


def _read_fields(path: Path) -> dict[str, Any]:
    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    if "like" in fields:
        other = path.with_name(f"{fields.pop('like')}.toml")
        fields = {**tomllib.loads(other.read_text(encoding="utf-8")), **fields}
    if isinstance(fields.get("claims"), list):
        fields["claims"] = list(_list_claims(fields["claims"]))
    return fields


def _list_claims(tables: list[Any]) -> Iterator[Any]:
    """Yields one table a claim; what is no table is left for the validation to refuse."""
    for table in tables:
        rows = table.pop("rows", [{}]) if isinstance(table, dict) else [table]
        for row in rows if isinstance(rows, list) else [{"rows": rows}]:
            yield {**table, **row} if isinstance(row, dict) else row
