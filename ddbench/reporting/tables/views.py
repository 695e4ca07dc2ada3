"""A table as plain values: its contents, not how they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

Raw: TypeAlias = str | int | float | bool | None
Tone: TypeAlias = Literal["", "good", "bad", "quiet"]
Kind: TypeAlias = Literal["entry", "reference", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The head of a column."""

    name: str
    align: Literal["left", "right"] = "right"
    unit: str = ""
    priority: int = 0
    """Where space is short, columns are left out from the highest down; those at 0 always stay."""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} {self.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The text of one place, and the numbers behind it, unrounded and by machine name."""

    text: str = ""
    brief: str = ""
    """A shorter text for narrow terminals; empty where there is none."""
    numbers: Mapping[str, Raw] = field(default_factory=dict)
    strong: bool = False
    tone: Tone = ""
    notes: tuple[int, ...] = ()
    """Footnotes, as positions in `View.notes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a table."""

    cells: tuple[Cell, ...]
    facts: Mapping[str, Raw] = field(default_factory=dict)
    """Subject of the row, by machine name, for formats that programs read."""
    kind: Kind = "entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows under one title."""

    rows: tuple[Row, ...]
    title: str = ""

    @property
    def rules(self) -> frozenset[int]:
        """Positions of reference rows that follow others: a rule is drawn above them."""
        kinds = [row.kind == "reference" for row in self.rows]
        pairs = enumerate(pairwise(kinds), start=1)
        return frozenset(place for place, (before, own) in pairs if own and not before)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One table, in sections that share its columns."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    subtitle: str = ""
    """Terms that are the same for all of it."""
    notes: tuple[str, ...] = ()
    """Footnotes that cells point to."""
    remarks: tuple[str, ...] = ()
    """Footnotes on the table as a whole."""

    @property
    def rows(self) -> Iterator[Row]:
        """Rows of all sections."""
        for section in self.sections:
            yield from section.rows


class Notes:
    """Collects footnotes while a view is made; equal texts share one."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def add(self, text: str) -> int:
        """Adds a footnote; returns its position in `View.notes`."""
        return self._texts.setdefault(text, len(self._texts))

    @property
    def texts(self) -> tuple[str, ...]:
        """Footnotes in the order in which they were added."""
        return tuple(self._texts)
