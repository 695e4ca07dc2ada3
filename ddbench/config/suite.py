"""A benchmark as a TOML file: axes, variants, profiles, claims. Every mistake is named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)

from ddbench.api.card import Claim, Metered
from ddbench.api.errors import DDBenchError, unknown
from ddbench.api.toml_files import explain, merge_tables, read_toml
from ddbench.config.grid import Selection, Variant
from ddbench.config.profiles import Profile
from ddbench.config.terms import parse_terms
from ddbench.registry import Registry
from ddbench.runtime.context import Precision


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Names = Annotated[list[str], BeforeValidator(_as_list)]
Numbers = Annotated[list[int], BeforeValidator(_as_list)]


class VariantTable(_Strict):
    """One row of an ablation."""

    name: str = ""
    method: str = ""
    matcher: str = ""
    regularizer: str = ""
    set: dict[str, Any] = {}


class ClaimTable(_Strict):
    """A published figure of one row."""

    row: str
    """A method's or a variant's name, or `matcher + regularizer` of composed rows."""
    dataset: str
    ipc: int
    student: str = ""
    metric: Metered = "top1"
    value: float
    sd: float | None = None
    source: str = ""
    setting: str = ""


class SuiteTable(_Strict):
    """The fields of a suite; a list of one value may be written as the value."""

    title: str = ""
    method: Names = Field(["wmdd"], min_length=1)
    matcher: Names = []
    regularizer: Names = []
    dataset: Names = Field(["digits"], min_length=1)
    ipc: Numbers = []
    arch: Names = Field(["resnet18"], min_length=1)
    teacher: Names = []
    labels: Names = []
    evaluator: Names = []
    protocol: Names = Field(["ddbench-v1"], min_length=1)
    seeds: int = 3
    seed: int = 0
    students: int = 1
    holdout: float = 0.0
    reference: bool = True
    set: dict[str, Any] = {}
    set_for: dict[str, dict[str, Any]] = {}
    """Options of the cells of single methods, by the method's name."""
    variant: list[VariantTable] = []
    claim: list[ClaimTable] = []
    source: str = ""
    """Source of the claims that name none."""
    setting: str = ""
    """Setting of the claims that name none."""
    profile: Profile = Profile()
    """The chosen profile; its table is in the other fields already."""
    _written: tuple[SuiteTable, ...] = PrivateAttr(())
    """What the file says without a profile, and what it says under each of its own."""


def read_suite(path: Path | None, profile: str, flags: Mapping[str, Any]) -> SuiteTable:
    """Reads a suite file and puts in what a profile, and then the flags, change.

    Args:
        path: TOML file; None for the defaults.
        profile: Name of a `[profile.NAME]` table, or of a profile that the methods know; "" for
            none.
        flags: Fields that were given on the command line.

    Raises:
        DDBenchError: the file is missing or malformed, or a field of it or of one of its profiles,
            chosen or not, does not exist.
    """
    where = "the command line" if path is None else str(path)
    base, profiles = _read_tables(path, where)
    written = [
        _validate(merge_tables(base, table), f"profile '{name}' of {where}")
        for name, table in profiles.items()
    ]
    if path is not None:
        written.append(_validate(base, where))
    chosen, given = profiles.get(profile, {}), _flatten_options(flags)
    table = merge_tables(base, chosen)
    if given.get("matcher") or given.get("regularizer"):
        table.pop("variant", None)  # composition by flags is another grid than the file's variants
    suite = _validate(merge_tables(table, given), where)
    _check_size(suite)
    _check_ensembles(suite)
    for options in suite.set_for.values():  # an option that flags set is set for every method
        for option in options.keys() & given.get("set", {}):
            del options[option]
    options, options_for = chosen.get("set", {}), chosen.get("set_for", {})
    suite.profile = Profile(name=profile, known=tuple(profiles), set=options, set_for=options_for)
    suite._written = tuple(written)
    return suite


def _read_tables(path: Path | None, where: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Reads what a suite file says without a profile, and the table of each of its profiles."""
    base = {} if path is None else read_toml(path)
    profiles = base.pop("profile", {})
    if not isinstance(profiles, dict) or not all(isinstance(t, dict) for t in profiles.values()):
        raise DDBenchError(
            f"{where} has a profile that cannot be read",
            "expected: [profile.NAME] tables",
            hint="choose a profile with --profile NAME",
        )
    flat = {name: _flatten_options(table) for name, table in profiles.items()}
    return _flatten_options(base), flat


MOST = {"seeds": 1_000, "students": 1_000, "cells": 100_000}
"""Nobody means more, and to plan it takes hours."""


def _check_size(suite: SuiteTable) -> None:
    """Refuses numbers with some zeros too many, before anything is planned."""
    for name in ("seeds", "students"):
        if getattr(suite, name) > MOST[name]:
            raise DDBenchError(
                f"--{name} {getattr(suite, name)} is out of range",
                f"expected: 1 to {MOST[name]:,}",
                hint=f"for example --{name} 3",
            )
    axes = (suite.dataset, suite.ipc, suite.arch, suite.teacher, suite.labels, suite.protocol)
    rows = len(suite.variant) or len(suite.method) * math.prod(
        len(axis) or 1 for axis in (suite.matcher, suite.regularizer)
    )
    cells = rows * suite.seeds * math.prod(len(axis) or 1 for axis in axes)
    if cells > MOST["cells"]:
        raise DDBenchError(
            f"the grid has {cells:,} cells",
            f"expected: {MOST['cells']:,} at most",
            hint="fewer seeds, or several grids",
        )


def _check_ensembles(suite: SuiteTable) -> None:
    for text in suite.teacher:
        if not all(name.strip() for name in text.split("+")):
            raise DDBenchError(
                f"cannot read the teacher '{text}'",
                "expected: NAME, or NAME+NAME for an ensemble",
                hint="for example --teacher resnet18+convnet3_bn",
            )


def _flatten_options(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table whose options are dotted paths with texts, as the command line has them.

    However two tables write an option, the later one counts then. A value that is no table is left
    for the validation of the fields.
    """
    flat = dict(raw)
    if isinstance(raw.get("set"), Mapping):
        flat["set"] = _write_texts(raw["set"])
    if isinstance(raw.get("set_for"), Mapping):
        flat["set_for"] = {
            method: _write_texts(options) if isinstance(options, Mapping) else options
            for method, options in raw["set_for"].items()
        }
    return flat


def _write_texts(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Writes options as the command line would; nested tables become dotted paths."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts.update(_write_texts(value, f"{prefix}{name}."))
        else:
            texts[prefix + name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _validate(raw: Mapping[str, Any], where: str) -> SuiteTable:
    try:
        return SuiteTable.model_validate(raw)
    except ValidationError as fault:
        raise explain(fault, SuiteTable, f"{where} is not a valid suite") from fault


def make_selection(suite: SuiteTable, precision: Precision) -> Selection:
    """Returns the grid that a suite describes."""
    variants = (
        Variant(
            name=v.name,
            method=v.method,
            matcher=v.matcher,
            regularizer=v.regularizer,
            set=_write_texts(v.set),
        )
        for v in suite.variant
    )
    return Selection(
        methods=tuple(suite.method),
        matchers=tuple(suite.matcher),
        regularizers=tuple(suite.regularizer),
        datasets=tuple(suite.dataset),
        ipcs=tuple(suite.ipc),
        students=tuple(suite.arch),
        teachers=tuple(suite.teacher),
        labels=tuple(suite.labels),
        protocols=tuple(suite.protocol),
        seeds=suite.seeds,
        seed=suite.seed,
        runs=suite.students,
        holdout=suite.holdout,
        reference=suite.reference,
        assignments=_write_texts(suite.set),
        assignments_for={name: _write_texts(options) for name, options in suite.set_for.items()},
        profile=suite.profile,
        variants=tuple(variants),
        claims=_collect_claims(suite),
        precision=precision,
    )


def _collect_claims(suite: SuiteTable) -> dict[str, tuple[Claim, ...]]:
    """Returns the published figures of each row."""
    claims: dict[str, tuple[Claim, ...]] = {}
    for table in suite.claim:
        fields = table.model_dump(exclude={"row"})
        fields["source"] = table.source or suite.source
        fields["setting"] = table.setting or suite.setting
        claims[table.row] = (*claims.get(table.row, ()), Claim(**fields))
    return claims


# -- claims that belong to no row ------------------------------------------------------------------

_JOINT = " + "
"""Between the matchers and the regularizers of a composed row."""


def refuse_lost_claims(suite: SuiteTable, registry: Registry) -> None:
    """Refuses a claim that no row of the file would show, because its row's name is misspelt.

    Raises:
        DDBenchError: a claim names a row that the file makes under none of its profiles.
    """
    tables = (suite, *suite._written)
    rows = {row for table in tables for row in _name_rows(table, registry)}
    for claim in (claim for table in tables for claim in table.claim):
        if claim.row not in rows and not _is_composed(claim.row, rows, registry):
            known = {row.strip() for row in rows}
            hint = "name a method or a variant of the suite"
            raise unknown("row", claim.row, known, "a [[claim]] names it", hint=hint)


def _name_rows(table: SuiteTable, registry: Registry) -> Iterator[str]:
    """Yields names of rows; of composed ones what the file says, such as `mmd + ` or ` + none`."""
    variants = table.variant
    if not variants and (table.matcher or table.regularizer):
        pairs = product(table.matcher or [""], table.regularizer or [""])
        variants = [VariantTable(matcher=one, regularizer=other) for one, other in pairs]
    for variant in variants:
        sides = (("matcher", variant.matcher), ("regularizer", variant.regularizer))
        yield variant.name or _JOINT.join(_name_side(kind, text, registry) for kind, text in sides)
    if not variants:
        yield from (registry.resolve("recipe", method) for method in table.method)


def _name_side(kind: str, text: str, registry: Registry) -> str:
    """Names the terms of a sum as rows do: without weights, under the parts' own names."""
    names = (registry.resolve(kind, term.name) for term in parse_terms(text)) if text else ()
    terms = [name for name in names if name != "none"]
    return "+".join(terms) or ("none" if text else "")


def _is_composed(row: str, rows: set[str], registry: Registry) -> bool:
    """Tells whether a name is of a composed row of which the file leaves a side to the method."""
    matchers, joint, regularizers = row.partition(_JOINT)
    sides = (known.partition(_JOINT) for known in rows if _JOINT in known)
    return bool(joint) and any(
        _fits("matcher", left, matchers, registry)
        and _fits("regularizer", right, regularizers, registry)
        for left, _, right in sides
    )


def _fits(kind: str, given: str, text: str, registry: Registry) -> bool:
    parts = ("none", *registry.names(kind))
    return text == given or (not given and all(name in parts for name in text.split("+")))
