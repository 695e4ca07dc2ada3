"""Ranks of methods over several cells, and which differences are larger than chance makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddbench.reporting.tables.aggregate import Entry
from ddbench.reporting.tables.formatting import listed, p_value
from ddbench.reporting.tables.leaderboard import comparable
from ddbench.reporting.tables.statistics import SIGNIFICANT
from ddbench.reporting.tables.views import Cell, Column, Row, Section, View


@dataclass(frozen=True)
class Ranking:
    """Methods over cells that all of them have (Demšar, JMLR 2006)."""

    ranks: Mapping[str, float]
    """Mean rank by method, best first; equal accuracies share the mean of their ranks."""
    cells: int
    difference: float
    """Nemenyi's critical difference at 5 %: ranks further apart differ."""
    p: float | None
    """Of Friedman's test that all methods are alike; None for two methods."""
    left_out: tuple[str, ...] = ()
    """Methods that lack a cell."""

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest sets of neighbours within one critical difference; sets of one left out."""
        names = list(self.ranks)
        found: list[tuple[str, ...]] = []
        for start, name in enumerate(names):
            near = [n for n in names[start:] if self.ranks[n] - self.ranks[name] <= self.difference]
            if len(near) > 1 and not (found and set(near) <= set(found[-1])):
                found.append(tuple(near))
        return found


def rank(scores: Sequence[Mapping[str, float]], left_out: Sequence[str] = ()) -> Ranking | None:
    """Ranks of the methods of every cell.

    Args:
        scores: Of each cell, method -> accuracy. All cells have the same methods.
        left_out: Methods that were not in all cells, to be told.

    Returns:
        None for fewer than two methods or cells.
    """
    names = sorted(scores[0]) if scores else []
    if len(names) < 2 or len(scores) < 2:
        return None
    import numpy as np
    from scipy.stats import friedmanchisquare, rankdata

    table = np.array([[cell[name] for name in names] for cell in scores])  # cells methods
    means = rankdata(-table, axis=1).mean(0)
    p = float(friedmanchisquare(*table.T).pvalue) if len(names) > 2 else None
    ordered = sorted(zip(means.tolist(), names, strict=True))
    return Ranking(
        ranks={name: mean for mean, name in ordered},
        cells=len(scores),
        difference=critical_difference(len(names), len(scores)),
        p=None if p is None or math.isnan(p) else p,
        left_out=tuple(left_out),
    )


def critical_difference(methods: int, cells: int) -> float:
    """q √(k (k + 1) / (6 N)), q the 5 % point of the studentized range over √2 (Demšar, Sec. 3.2).

    Args:
        methods: k.
        cells: N.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - SIGNIFICANT, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * cells))


def ranking_of(entries: Sequence[Entry]) -> Ranking | None:
    """Of all rows that every setting has, by mean top-1; full data is no rival."""
    cells: list[dict[str, float]] = []
    for setting, members in comparable(entries).items():
        found = {
            e.label: top1.mean for e in members
            if e.setting == setting and (top1 := e.summary("top1")) is not None
        }  # fmt: skip
        if found:
            cells.append(found)
    everywhere = set.intersection(*(set(cell) for cell in cells)) if cells else set()
    others = sorted({name for cell in cells for name in cell} - everywhere)
    return rank([{name: cell[name] for name in everywhere} for cell in cells], others)


def average_ranks(entries: Sequence[Entry]) -> View | None:
    """A row per method; None for fewer than two methods or cells."""
    found = ranking_of(entries)
    if found is None:
        return None
    rows = tuple(
        Row(
            cells=(Cell(text=name), Cell(text=f"{mean:.2f}", numbers={"average_rank": mean})),
            facts={"label": name, "cells": found.cells},
        )
        for name, mean in found.ranks.items()
    )
    friedman = "" if found.p is None else f" Friedman's test: p {_equals(p_value(found.p))}."
    alike = "; ".join(listed(group) for group in found.groups)
    return View(
        title=f"Average ranks over {found.cells} cells",
        columns=(Column(name="method", align="left"), Column(name="average rank ↓")),
        sections=(Section(rows=rows),),
        remarks=(
            "Ranks by mean top-1 in each cell, ties shared. Critical difference (Nemenyi, 5 %): "
            f"{found.difference:.2f}.{friedman}",
            f"Not told apart: {alike}." if alike else "All are told apart.",
            *((f"Left out, not in every cell: {listed(found.left_out)}.",) * bool(found.left_out)),
        ),
    )


def _equals(text: str) -> str:
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"
