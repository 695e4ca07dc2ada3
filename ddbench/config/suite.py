"""A benchmark as a TOML file: axes, variants, profiles. Readable by someone who trusts nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from ddbench.api.errors import DDBenchError, nearest
from ddbench.api.recipe import Claim, Metered
from ddbench.api.toml_files import merge_tables, read_toml
from ddbench.config.grid import Selection, Variant
from ddbench.config.profiles import Profile


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, strict=True, allow_inf_nan=False
    )


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
    """The fields of a suite; lists may be written as a single value."""

    title: str = ""
    method: list[str] = Field(["wmdd"], min_length=1)
    matcher: list[str] = []
    regularizer: list[str] = []
    dataset: list[str] = Field(["digits"], min_length=1)
    ipc: list[int] = []
    arch: list[str] = Field(["resnet18"], min_length=1)
    teacher: list[str] = []
    labels: list[str] = []
    evaluator: list[str] = []
    protocol: list[str] = Field(["ddbench-v1"], min_length=1)
    seeds: int = 3
    seed: int = 0
    students: int = 1
    holdout: float = 0.0
    reference: bool = True
    set: dict[str, Any] = {}
    set_for: dict[str, dict[str, Any]] = {}
    """Options of one method's cells, by its name."""
    variant: list[VariantTable] = []
    claim: list[ClaimTable] = []
    source: str = ""
    """Of claims that name none."""
    setting: str = ""
    """Under which the claimed figures were measured, where they do not say."""
    profile: Profile = Profile()
    """The one that was chosen; its table is in the other fields already."""
    _written: tuple[SuiteTable, ...] = PrivateAttr(())

    @property
    def written(self) -> tuple[SuiteTable, ...]:
        """What the file says without a profile, and what it says under each of its own."""
        return self._written

    @field_validator(
        "method", "matcher", "regularizer", "dataset", "ipc", "arch", "teacher", "labels",
        "evaluator", "protocol", mode="before",
    )  # fmt: skip
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]


_TABLES: Mapping[str, type[_Strict]] = {"variant": VariantTable, "claim": ClaimTable}


def read_suite(path: Path | None, profile: str, flags: Mapping[str, Any]) -> SuiteTable:
    """A suite file with a profile's changes and then the flags' put in.

    Args:
        path: TOML file; None for the defaults.
        profile: Name of a `[profile.NAME]` table, or of a profile that the methods know; "" for
            none.
        flags: Fields that were given on the command line.

    Raises:
        DDBenchError: the file is missing or malformed, or a field of it or of one of its profiles,
            chosen or not, does not exist.
    """
    raw: dict[str, Any] = {} if path is None else read_toml(path)
    where = str(path) if path is not None else "the command line"
    tables = raw.pop("profile", {})
    if not isinstance(tables, Mapping) or not all(isinstance(t, Mapping) for t in tables.values()):
        raise DDBenchError(
            f"{where} has a profile that cannot be read", "expected: [profile.NAME] tables",
            hint="choose a profile with --profile NAME",
        )  # fmt: skip
    body = _flat(raw)
    written = [
        _validated(merge_tables(body, _flat(table)), f"profile '{name}' of {where}")
        for name, table in tables.items()
    ]
    if path is not None:
        written.append(_validated(body, where))
    chosen = _flat(tables.get(profile, {}))
    told = _flat(flags)
    read = merge_tables(body, chosen)
    # Composition by flags is another grid than the variants of a file.
    if told.get("matcher") or told.get("regularizer"):
        read.pop("variant", None)
    found = _validated(merge_tables(read, told), where)
    _check_counts(found)
    _check_ensembles(found)
    given = told.get("set", {})  # wins over what the file says of one method, too
    own = {
        method: {path: text for path, text in options.items() if path not in given}
        for method, options in found.set_for.items()
    }
    named = Profile(
        name=profile, known=tuple(tables),
        set=chosen.get("set", {}), set_for=chosen.get("set_for", {}),
    )  # fmt: skip
    made = found.model_copy(update={"set_for": own, "profile": named})
    made._written = tuple(written)
    return made


MOST = {"seeds": 1_000, "students": 1_000, "cells": 100_000}
"""Nobody means more, and to plan it takes hours."""


def _check_counts(suite: SuiteTable) -> None:
    """Refuses a slip of some zeros before it is planned."""
    for name in ("seeds", "students"):
        if getattr(suite, name) > MOST[name]:
            raise DDBenchError(
                f"--{name} {getattr(suite, name)} is out of range",
                f"expected: 1 to {MOST[name]:,}", hint=f"for example --{name} 3",
            )  # fmt: skip
    axes = (suite.dataset, suite.ipc, suite.arch, suite.teacher, suite.labels, suite.protocol)
    rows = len(suite.variant) or len(suite.method) * math.prod(
        len(axis) or 1 for axis in (suite.matcher, suite.regularizer)
    )
    cells = rows * suite.seeds * math.prod(len(axis) or 1 for axis in axes)
    if cells > MOST["cells"]:
        raise DDBenchError(
            f"the grid has {cells:,} cells", f"expected: {MOST['cells']:,} at most",
            hint="fewer seeds, or several grids",
        )  # fmt: skip


def _check_ensembles(suite: SuiteTable) -> None:
    for text in suite.teacher:
        if not all(name.strip() for name in text.split("+")):
            raise DDBenchError(
                f"cannot read the teacher '{text}'", "expected: NAME, or NAME+NAME for an ensemble",
                hint="for example --teacher resnet18+convnet3_bn",
            )  # fmt: skip


def _flat(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A table whose options are dotted paths, so that however two tables write an option, the
    later one counts. What is no table is left for the check of the fields."""
    flat = dict(raw)
    if isinstance(raw.get("set"), Mapping):
        flat["set"] = _texts(raw["set"])
    if isinstance(raw.get("set_for"), Mapping):
        flat["set_for"] = {
            method: _texts(options) if isinstance(options, Mapping) else options
            for method, options in raw["set_for"].items()
        }
    return flat


def _validated(raw: Mapping[str, Any], where: str) -> SuiteTable:
    try:
        return SuiteTable.model_validate(raw)
    except ValidationError as fault:
        facts, hint = _facts(fault)
        raise DDBenchError(f"{where} is not a valid suite", *facts, hint=hint) from fault


def _facts(fault: ValidationError) -> tuple[list[str], str]:
    """One fact a field, and a hint: the nearest name where one does not exist."""
    facts, hint = [], ""
    for error in fault.errors():
        place = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            table = _TABLES.get(str(error["loc"][0]), SuiteTable)
            guess = nearest(str(error["loc"][-1]), table.model_fields)
            facts.append(f"{place}: no such field; known: {', '.join(table.model_fields)}")
            hint = hint or (f"did you mean '{guess}'?" if guess else "")
        else:
            facts.append(f"{place}: {_wrong_value(error)}")
    return facts, hint or "mend these fields"


_EXPECTED = {
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "finite_number": "a finite number", "bool_type": "true or false", "string_type": "text",
    "dict_type": "a table", "model_type": "a table", "list_type": "a list",
}  # fmt: skip
"""By the names that pydantic gives to its errors."""


def _wrong_value(error: Any) -> str:
    """One error of pydantic, in words for a reader of the file."""
    if error["type"] == "too_short":
        return "expected one value or more, found none"
    if error["type"] == "missing":
        return "is missing"
    expected = _EXPECTED.get(error["type"]) or error.get("ctx", {}).get("expected")
    if expected:
        return f"expected {expected}, found {error['input']!r}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}"


def selection_of(suite: SuiteTable, precision: Any) -> Selection:
    """The grid that a suite means."""
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
        assignments=_texts(suite.set),
        assignments_for={name: _texts(options) for name, options in suite.set_for.items()},
        profile=suite.profile,
        variants=tuple(
            Variant(
                name=v.name, method=v.method, matcher=v.matcher, regularizer=v.regularizer,
                set=_texts(v.set),
            )
            for v in suite.variant
        ),
        claims=_claims(suite),
        title=suite.title,
        precision=precision,
    )  # fmt: skip


def _claims(suite: SuiteTable) -> dict[str, tuple[Claim, ...]]:
    """Published figures by row."""
    found: dict[str, tuple[Claim, ...]] = {}
    for table in suite.claim:
        claim = Claim(
            dataset=table.dataset, ipc=table.ipc, student=table.student, value=table.value,
            sd=table.sd, source=table.source or suite.source,
            setting=table.setting or suite.setting, metric=table.metric,
        )  # fmt: skip
        found[table.row] = (*found.get(table.row, ()), claim)
    return found


def _texts(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Assignments as the command line would write them; nested tables become dotted paths."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_texts(value, f"{prefix}{name}."))
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[prefix + name] = text
    return found
