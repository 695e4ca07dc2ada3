"""Ranks of methods over several cells, and which differences are larger than chance makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddbench.reporting.tables.aggregate import Entry
from ddbench.reporting.tables.formatting import format_p, join_words
from ddbench.reporting.tables.significance import group_finished
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
    """p of Friedman's test that all methods are alike; None for two methods."""
    left_out: tuple[str, ...] = ()
    """Methods that lack a cell."""

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest sets of neighbours within one critical difference; sets of one left out."""
        names = list(self.ranks)
        groups: list[tuple[str, ...]] = []
        for start, name in enumerate(names):
            near = [n for n in names[start:] if self.ranks[n] - self.ranks[name] <= self.difference]
            if len(near) > 1 and not (groups and set(near) <= set(groups[-1])):
                groups.append(tuple(near))
        return groups


def rank_methods(scores: Sequence[Mapping[str, float]]) -> Ranking | None:
    """Ranks the methods that every cell has; None for fewer than two methods or cells.

    Args:
        scores: For each cell, method -> accuracy.
    """
    import pandas
    from scipy.stats import friedmanchisquare

    cells = pandas.DataFrame([dict(sorted(cell.items())) for cell in scores])
    whole = cells.dropna(axis="columns").sort_index(axis="columns")
    if min(whole.shape) < 2:
        return None
    ranks = whole.rank(axis="columns", ascending=False).mean().sort_values(kind="stable")
    p = float(friedmanchisquare(*whole.T.to_numpy()).pvalue) if whole.shape[1] > 2 else None
    return Ranking(
        ranks={str(name): float(mean) for name, mean in ranks.items()},
        cells=len(whole),
        difference=critical_difference(whole.shape[1], len(whole)),
        p=None if p is None or math.isnan(p) else p,
        left_out=tuple(sorted(cells.columns.difference(whole.columns))),
    )


def critical_difference(methods: int, cells: int) -> float:
    """Computes q √(k (k + 1) / (6 N)), q the 5 % point of the studentized range over √2.

    Demšar, JMLR 2006, Sec. 3.2.

    Args:
        methods: k.
        cells: N.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - SIGNIFICANT, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * cells))


def rank_entries(entries: Sequence[Entry]) -> Ranking | None:
    """Ranks the rows that every setting has, by mean top-1; full data is no rival."""
    return rank_methods(
        [
            {e.label: top1.mean for e in members if (top1 := e.summarize("top1"))}
            for members in group_finished(entries).values()
        ]
    )


def tabulate_ranks(entries: Sequence[Entry]) -> View | None:
    """Makes a table with a row per method; None for fewer than two methods or cells."""
    ranking = rank_entries(entries)
    if ranking is None:
        return None
    rows = tuple(
        Row(
            cells=(Cell(text=name), Cell(text=f"{mean:.2f}", numbers={"average_rank": mean})),
            facts={"label": name, "cells": ranking.cells},
        )
        for name, mean in ranking.ranks.items()
    )
    alike = "; ".join(join_words(group) for group in ranking.groups)
    left_out = f"Left out, not in every cell: {join_words(ranking.left_out)}."
    return View(
        title=f"Average ranks over {ranking.cells} cells",
        columns=(Column(name="method", align="left"), Column(name="average rank ↓")),
        sections=(Section(rows=rows),),
        remarks=(
            "Ranks by mean top-1 in each cell, ties shared. Critical difference (Nemenyi, 5 %): "
            f"{ranking.difference:.2f}.{_write_friedman(ranking.p)}",
            f"Not told apart: {alike}." if alike else "All are told apart.",
            *([left_out] if ranking.left_out else []),
        ),
    )


def _write_friedman(p: float | None) -> str:
    if p is None:
        return ""
    text = format_p(p)
    equals = text.replace("<", "< ") if text.startswith("<") else f"= {text}"
    return f" Friedman's test: p {equals}."
