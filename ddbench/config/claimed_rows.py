"""Claims of a suite that belong to no row: a slip in a name would leave them out in silence."""

from __future__ import annotations

from collections.abc import Iterator

from ddbench.api.errors import unknown
from ddbench.config.suite import SuiteTable, VariantTable
from ddbench.config.terms import parse_terms
from ddbench.registry import Registry

_JOINT = " + "
"""Between the matchers and the regularizers of a composed row."""


def refuse_lost_claims(suite: SuiteTable, registry: Registry) -> None:
    """Every claim belongs to a row of the file, be it one that another profile makes.

    Raises:
        DDBenchError: one names a row that nothing in the file makes.
    """
    tables = (suite, *suite.written)
    rows = {row for table in tables for row in _rows(table, registry)}
    for claim in (claim for table in tables for claim in table.claim):
        if claim.row not in rows and not _is_composed(claim.row, rows, registry):
            known = {row.strip() for row in rows}
            raise unknown("row", claim.row, known, "a [[claim]] names it",
                          hint="name a method or a variant of the suite")  # fmt: skip


def _rows(table: SuiteTable, registry: Registry) -> Iterator[str]:
    """Names of rows; of composed ones as far as the file says, say `mmd + ` or ` + none`."""
    variants = table.variant
    if not variants and (table.matcher or table.regularizer):
        variants = [
            VariantTable(matcher=matcher, regularizer=regularizer)
            for matcher in table.matcher or [""]
            for regularizer in table.regularizer or [""]
        ]
    for variant in variants:
        if variant.name:
            yield variant.name
        else:
            sides = (("matcher", variant.matcher), ("regularizer", variant.regularizer))
            yield _JOINT.join(_spelled(kind, text, registry) for kind, text in sides)
    if not variants:
        yield from (registry.resolve("recipe", method) for method in table.method)


def _spelled(kind: str, text: str, registry: Registry) -> str:
    """The terms of a sum as rows name them: without weights, under the parts' own names."""
    names = (registry.resolve(kind, term.name) for term in parse_terms(text)) if text else ()
    terms = [name for name in names if name != "none"]
    return "+".join(terms) or ("none" if text else "")


def _is_composed(row: str, rows: set[str], registry: Registry) -> bool:
    """Whether a composed row is one that the file leaves a side of to the method."""
    matchers, joint, regularizers = row.partition(_JOINT)
    sides = (made.partition(_JOINT) for made in rows if _JOINT in made)
    return bool(joint) and any(
        _fits("matcher", left, matchers, registry)
        and _fits("regularizer", right, regularizers, registry)
        for left, _, right in sides
    )


def _fits(kind: str, told: str, text: str, registry: Registry) -> bool:
    parts = ("none", *registry.names(kind))
    return text == told or (not told and all(name in parts for name in text.split("+")))
