"""Variants by two factors: a matrix of matchers and regularizers, and paired tests of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any, Literal

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.cells import NOTHING
from ddbench.reporting.tables.formatting import interval, p_value, percent, signed
from ddbench.reporting.tables.leaderboard import best_of
from ddbench.reporting.tables.pivots import measured, spread_remark, usual_count
from ddbench.reporting.tables.row_names import Headings, flattened, given_by_all
from ddbench.reporting.tables.statistics import SIGNIFICANT, Paired, holm, paired
from ddbench.reporting.tables.views import Cell, Column, Notes, Row, Section, View

Factor = Literal["matcher", "regularizer"]


@dataclass(frozen=True)
class Matrix:
    """Variants of one setting that differ in nothing but matcher and regularizer."""

    setting: Setting
    entries: dict[tuple[str, str], Entry]
    """By the names of matcher and regularizer."""

    def levels(self, factor: Factor) -> list[str]:
        """Best first, by the mean over the other factor; those that never finished last."""
        place = 0 if factor == "matcher" else 1
        means: dict[str, list[float]] = {}
        for names, entry in self.entries.items():
            top1 = entry.summary("top1")
            means.setdefault(names[place], []).extend([top1.mean] if top1 else [])
        return sorted(means, key=lambda n: (not means[n], -fmean(means[n] or [0.0]), n))


def matrices(entries: Sequence[Entry]) -> list[Matrix]:
    """One per setting and per what else a recipe says; none where fewer than two variants agree."""
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in entries:
        if not entry.baseline and _recipe(entry):
            groups.setdefault((entry.setting, _rest(entry)), []).append(entry)
    found = []
    for (setting, _), members in sorted(groups.items(), key=lambda i: (i[0][0].order, i[0][1])):
        if not any(record.variant for entry in members for record in entry.records):
            continue  # a leaderboard, of methods that happen to differ in little
        matchers, regularizers = (
            _level_names(members, "matcher"),
            _level_names(members, "regularizer"),
        )
        by_names = {(m, r): e for m, r, e in zip(matchers, regularizers, members, strict=True)}
        if len(by_names) > 1 and len(by_names) == len(members):
            found.append(Matrix(setting, by_names))
    return found


def _recipe(entry: Entry) -> dict[str, Any]:
    recipe = entry.first.configuration.get("recipe", {})
    return recipe if {"matchers", "regularizers"} <= set(recipe) else {}


def _rest(entry: Entry) -> str:
    """Everything but the two factors."""
    recipe = {k: v for k, v in _recipe(entry).items() if k not in ("matchers", "regularizers")}
    configuration = {**entry.first.configuration, "recipe": recipe}
    return json.dumps([entry.first.student_count, configuration], sort_keys=True)


def _level_names(entries: Sequence[Entry], factor: Factor) -> list[str]:
    """`cross_entropy+wasserstein`; with options where names alone do not tell levels apart."""
    spelt = [_recipe(entry)[f"{factor}s"] for entry in entries]
    plain = [_names_of(terms) for terms in spelt]
    flat = [flattened(terms) for terms in spelt]
    named = []
    for name, options in zip(plain, flat, strict=True):
        rivals = [f for f, n in zip(flat, plain, strict=True) if n == name]
        told = [
            f"{path.removeprefix('.')}={value}" for path, value in sorted(options.items())
            if any(f.get(path) != value for f in rivals)
        ]  # fmt: skip
        named.append(", ".join([name, *told]))
    return named


def _names_of(terms: Sequence[Any]) -> str:
    return "+".join(str(term[1].get("name", "?")) for term in terms) or "none"


def ablation_matrix(entries: Sequence[Entry]) -> View | None:
    """Matchers x regularizers, the published figure in parentheses."""
    found = matrices(entries)
    if not found:
        return None
    notes = Notes()
    usual = usual_count([e for m in found for e in m.entries.values()])
    heads = list(dict.fromkeys(name for m in found for name in m.levels("regularizer")))
    headings = Headings(m.setting for m in found)
    sections = []
    for matrix in found:
        best = best_of(matrix.entries.values())
        rows = []
        for matcher in matrix.levels("matcher"):
            in_row = [matrix.entries.get((matcher, head)) for head in heads]
            cells = [
                NOTHING if entry is None else _figure(entry, head, notes, usual, best)
                for entry, head in zip(in_row, heads, strict=True)
            ]
            facts = {**matrix.setting._asdict(), "matcher": matcher}
            rows.append(Row(cells=(Cell(text=matcher), *cells), facts=facts))
        sections.append(Section(title=_title(matrix, found, headings), rows=tuple(rows)))
    claimed = any(e.first.claim for m in found for e in m.entries.values())
    published = ("In parentheses: the published figure.",) if claimed else ()
    return View(
        title=headings.title("Matcher × regularizer"),
        subtitle=headings.subtitle(),
        columns=(Column(name="matcher", align="left"), *(Column(name=head) for head in heads)),
        sections=tuple(sections),
        notes=notes.texts,
        remarks=(spread_remark(usual), *published),
    )


def _title(matrix: Matrix, found: Sequence[Matrix], headings: Headings) -> str:
    """What tells the matrix from the others: its setting, and options that all of it was given."""
    words = [headings.section(matrix.setting)]
    if sum(m.setting == matrix.setting for m in found) > 1:
        given = given_by_all(matrix.entries.values())
        words += [f"{name}={value}" for name, value in sorted(given.items())] or [
            "as in the recipe"
        ]
    return ", ".join(word for word in words if word)


def _figure(entry: Entry, head: str, notes: Notes, usual: int, best: float | None) -> Cell:
    cell = measured(entry, head, notes, usual, best)
    claim = entry.first.claim
    if claim is None:
        return cell
    origin = "; ".join(text for text in (claim.source, claim.setting) if text)
    marks = (notes.add(f"published: {origin}"),) if origin else ()
    return Cell(
        text=f"{cell.text} ({percent(claim.value)})",
        numbers={**cell.numbers, f"{head} paper": claim.value},
        strong=cell.strong,
        tone=cell.tone,
        notes=(*cell.notes, *marks),
    )


def factor_tests(entries: Sequence[Entry]) -> View | None:
    """Each pair of levels of one factor under each level of the other."""
    found = matrices(entries)
    if not found:
        return None
    headings = Headings(m.setting for m in found)
    sections = [
        Section(title=_title(matrix, found, headings), rows=rows)
        for matrix in found
        if (rows := _tests(matrix))
    ]
    count = sum(len(section.rows) for section in sections)
    if not count:
        return None
    return View(
        title=headings.title("What each part contributes"),
        subtitle=headings.subtitle(),
        columns=(
            Column(name="difference", align="left"), Column(name="under", align="left"),
            Column(name="Δ top-1"), Column(name="95 % CI"), Column(name="p"),
            Column(name="p, Holm"), Column(name="n"),
        ),
        sections=tuple(sections),
        remarks=(
            "Differences over shared seeds, with the interval and p of a paired t-test; p after "
            f"Holm's correction for {_those(count, len(sections))}.",
        ),
    )  # fmt: skip


def _those(count: int, sections: int) -> str:
    return f"all {count} tests" if sections == 1 else "all tests of a section"


@dataclass(frozen=True)
class Contrast:
    """Two levels of one factor under one level of the other."""

    first: str
    second: str
    under: str
    found: Paired


def _tests(matrix: Matrix) -> tuple[Row, ...]:
    contrasts = list(_contrasts(matrix))
    corrected = holm([c.found.p for c in contrasts])
    return tuple(_test(matrix, c, p) for c, p in zip(contrasts, corrected, strict=True))


def _contrasts(matrix: Matrix) -> Iterator[Contrast]:
    matchers, regularizers = matrix.levels("matcher"), matrix.levels("regularizer")
    for matcher in matchers:
        for a, b in combinations(regularizers, 2):
            yield from _contrast(matrix, a, b, matcher, (matcher, a), (matcher, b))
    for regularizer in regularizers:
        for a, b in combinations(matchers, 2):
            yield from _contrast(matrix, a, b, regularizer, (a, regularizer), (b, regularizer))


def _contrast(
    matrix: Matrix, a: str, b: str, under: str, first: tuple[str, str], second: tuple[str, str]
) -> Iterator[Contrast]:
    if first not in matrix.entries or second not in matrix.entries:
        return
    one, other = matrix.entries[first], matrix.entries[second]
    found = paired(one.by_seed("top1"), other.by_seed("top1"))
    if found is not None:
        yield Contrast(a, b, under, found)


def _test(matrix: Matrix, contrast: Contrast, corrected: float | None) -> Row:
    """Coloured only where the test still says that there is a difference after correction."""
    found = contrast.found
    certain = corrected is not None and corrected < SIGNIFICANT
    return Row(
        cells=(
            Cell(text=f"{contrast.first} − {contrast.second}"),
            Cell(text=contrast.under),
            Cell(
                text=signed(found.difference),
                tone="" if not certain else "good" if found.difference > 0 else "bad",
                numbers={"difference": found.difference},
            ),
            Cell(text=interval(found.low, found.high),
                 numbers={"low": found.low, "high": found.high}),
            Cell(text=p_value(found.p), numbers={"p": found.p}),
            Cell(text=p_value(corrected), numbers={"p_holm": corrected}),
            Cell(text=str(found.n), numbers={"n": found.n}),
        ),
        facts={
            **matrix.setting._asdict(), "first": contrast.first, "second": contrast.second,
            "under": contrast.under,
        },
    )  # fmt: skip
