"""The card of a method: its paper, code, licence and published figures.

Nothing of a card is in a key: correcting one leaves caches warm. `ddbench.api.toml_files.read_card`
reads one from a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Metered = Literal["top1", "iteration_seconds", "total_seconds", "peak_bytes"]
"""Metrics of published figures: in percent, seconds, seconds and bytes."""


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
    """Facts about a method beside its settings: all of it is for readers, none in a key."""

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
    """Licence of the authors' code, and its meaning for this one."""
    objective: str = ""
    """Objective that is minimised, or the rule that chooses images, in a line or a few."""
    notes: tuple[str, ...] = ()
    """Deviations from the paper, and known issues."""
    bibtex: str = ""
    """One entry, or several."""
    claims: tuple[Claim, ...] = ()
    """Published figures, one a row; of two for the same data set and student the first counts."""
    provenance: tuple[Provenance, ...] = ()
    """Where the settings come from; every one is covered."""
