"""Variants by two factors: a matrix of matchers and regularizers, and paired tests of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any, Literal, NamedTuple

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import (
    NOTHING,
    TEST_COLUMNS,
    find_best,
    note_source,
    show_test,
)
from ddbench.reporting.tables.formatting import format_percent
from ddbench.reporting.tables.pivots import explain_spread, find_usual_count, show_measured
from ddbench.reporting.tables.row_names import Headings, find_common_options, flatten_options
from ddbench.reporting.tables.statistics import Paired, compare_pairs, correct_by_holm
from ddbench.reporting.tables.views import Cell, Column, Notes, Row, Section, View

Factor = Literal["matcher", "regularizer"]


@dataclass(frozen=True)
class Matrix:
    """Variants of one setting that differ in nothing but matcher and regularizer."""

    setting: Setting
    entries: dict[tuple[str, str], Entry]
    """Entries by the names of matcher and regularizer."""

    def rank_levels(self, factor: Factor) -> list[str]:
        """Returns the names of a factor, best first by the mean over the other factor; those that
        never finished last."""
        place = 0 if factor == "matcher" else 1
        means: dict[str, list[float]] = {}
        for names, entry in self.entries.items():
            top1 = entry.summarize("top1")
            means.setdefault(names[place], []).extend([top1.mean] if top1 else [])
        return sorted(means, key=lambda n: (not means[n], -fmean(means[n] or [0.0]), n))


def find_matrices(entries: Sequence[Entry]) -> list[Matrix]:
    """Returns a matrix per setting and per what else a recipe says, where variants agree in it."""
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in entries:
        if not entry.baseline and _read_recipe(entry):
            groups.setdefault((entry.setting, _spell_rest(entry)), []).append(entry)
    matrices = []
    for (setting, _), members in sorted(groups.items(), key=lambda i: (i[0][0].order, i[0][1])):
        if not any(record.variant for entry in members for record in entry.records):
            continue  # a leaderboard, of methods that happen to differ in little
        names = zip(
            _name_levels(members, "matcher"), _name_levels(members, "regularizer"), strict=True
        )
        by_names = dict(zip(names, members, strict=True))
        if len(by_names) > 1 and len(by_names) == len(members):
            matrices.append(Matrix(setting, by_names))
    return matrices


def _read_recipe(entry: Entry) -> dict[str, Any]:
    recipe = entry.first.configuration.get("recipe", {})
    return recipe if {"matchers", "regularizers"} <= set(recipe) else {}


def _spell_rest(entry: Entry) -> str:
    """Returns everything but the two factors, as one text."""
    recipe = {k: v for k, v in _read_recipe(entry).items() if k not in ("matchers", "regularizers")}
    configuration = {**entry.first.configuration, "recipe": recipe}
    return json.dumps([entry.first.student_count, configuration], sort_keys=True)


def _name_levels(entries: Sequence[Entry], factor: Factor) -> list[str]:
    """Returns the level of every entry: `cross_entropy+wasserstein`, with options where names alone
    do not tell levels apart."""
    spelt = [_read_recipe(entry)[f"{factor}s"] for entry in entries]
    plain = ["+".join(str(t[1].get("name", "?")) for t in terms) or "none" for terms in spelt]
    flat = [flatten_options(terms) for terms in spelt]
    names = []
    for name, options in zip(plain, flat, strict=True):
        rivals = [f for f, n in zip(flat, plain, strict=True) if n == name]
        differing = [
            f"{path.removeprefix('.')}={value}"
            for path, value in sorted(options.items())
            if any(f.get(path) != value for f in rivals)
        ]
        names.append(", ".join([name, *differing]))
    return names


def tabulate_factors(entries: Sequence[Entry]) -> View | None:
    """Makes a table of matchers x regularizers, the published figure in parentheses."""
    matrices = find_matrices(entries)
    if not matrices:
        return None
    notes = Notes()
    members = [e for m in matrices for e in m.entries.values()]
    usual = find_usual_count(members)
    heads = list(dict.fromkeys(name for m in matrices for name in m.rank_levels("regularizer")))
    headings = Headings(m.setting for m in matrices)
    sections = [
        Section(
            title=_write_title(matrix, matrices, headings),
            rows=tuple(_make_rows(matrix, heads, notes, usual)),
        )
        for matrix in matrices
    ]
    claimed = any(entry.first.claim for entry in members)
    published = ("In parentheses: the published figure.",) if claimed else ()
    return View(
        title=headings.write_title("Matcher × regularizer"),
        subtitle=headings.write_subtitle(),
        columns=(Column(name="matcher", align="left"), *(Column(name=head) for head in heads)),
        sections=tuple(sections),
        notes=notes.texts,
        remarks=(explain_spread(usual), *published),
    )


def _make_rows(matrix: Matrix, heads: Sequence[str], notes: Notes, usual: int) -> Iterator[Row]:
    best = find_best(matrix.entries.values())
    for matcher in matrix.rank_levels("matcher"):
        in_row = [matrix.entries.get((matcher, head)) for head in heads]
        cells = [
            NOTHING if entry is None else _show_with_claim(entry, head, notes, usual, best)
            for entry, head in zip(in_row, heads, strict=True)
        ]
        facts = {**matrix.setting._asdict(), "matcher": matcher}
        yield Row(cells=(Cell(text=matcher), *cells), facts=facts)


def _write_title(matrix: Matrix, matrices: Sequence[Matrix], headings: Headings) -> str:
    """Returns what tells a matrix from the others: its setting, and options given to all of it."""
    words = [headings.write_section(matrix.setting)]
    if sum(m.setting == matrix.setting for m in matrices) > 1:
        given = sorted(find_common_options(matrix.entries.values()).items())
        words += [f"{name}={value}" for name, value in given] or ["as in the recipe"]
    return ", ".join(word for word in words if word)


def _show_with_claim(entry: Entry, head: str, notes: Notes, usual: int, best: float | None) -> Cell:
    cell = show_measured(entry, head, notes, usual, best)
    claim = entry.first.claim
    if claim is None:
        return cell
    return replace(
        cell,
        text=f"{cell.text} ({format_percent(claim.value)})",
        numbers={**cell.numbers, f"{head} paper": claim.value},
        notes=(*cell.notes, *note_source(claim, notes)),
    )


def compare_levels(entries: Sequence[Entry]) -> View | None:
    """Makes a table of tests: each pair of levels of one factor under each level of the other."""
    matrices = find_matrices(entries)
    tested = [(matrix, rows) for matrix in matrices if (rows := _test(matrix))]
    if not tested:
        return None
    headings = Headings(m.setting for m in matrices)
    count = sum(len(rows) for _, rows in tested)
    tests = f"all {count} tests" if len(tested) == 1 else "all tests of a section"
    return View(
        title=headings.write_title("What each part contributes"),
        subtitle=headings.write_subtitle(),
        columns=(
            Column(name="difference", align="left"),
            Column(name="under", align="left"),
            *TEST_COLUMNS,
        ),
        sections=tuple(
            Section(title=_write_title(matrix, matrices, headings), rows=rows)
            for matrix, rows in tested
        ),
        remarks=(
            "Differences over shared seeds, with the interval and p of a paired t-test; p after "
            f"Holm's correction for {tests}.",
        ),
    )


class Contrast(NamedTuple):
    """Two levels of one factor under one level of the other."""

    first: str
    second: str
    under: str
    test: Paired


def _test(matrix: Matrix) -> tuple[Row, ...]:
    contrasts = list(_contrast(matrix))
    corrected = correct_by_holm([c.test.p for c in contrasts])
    return tuple(
        Row(
            cells=(
                Cell(text=f"{c.first} − {c.second}"),
                Cell(text=c.under),
                *show_test(c.test, p, strong=False),
            ),
            facts={
                **matrix.setting._asdict(),
                "first": c.first,
                "second": c.second,
                "under": c.under,
            },
        )
        for c, p in zip(contrasts, corrected, strict=True)
    )


def _contrast(matrix: Matrix) -> Iterator[Contrast]:
    """Yields the pairs of levels that share a seed: of regularizers first, then of matchers."""
    matchers, regularizers = matrix.rank_levels("matcher"), matrix.rank_levels("regularizer")
    pairs = [(a, b, m, (m, a), (m, b)) for m in matchers for a, b in combinations(regularizers, 2)]
    pairs += [(a, b, r, (a, r), (b, r)) for r in regularizers for a, b in combinations(matchers, 2)]
    for a, b, under, first, second in pairs:
        if first in matrix.entries and second in matrix.entries:
            one, other = matrix.entries[first], matrix.entries[second]
            test = compare_pairs(one.collect("top1"), other.collect("top1"))
            if test is not None:
                yield Contrast(a, b, under, test)
