"""A benchmark as a TOML file: axes, variants, profiles. Readable by someone who trusts nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from ddbench.errors import DDBenchError, nearest, unknown
from ddbench.grid import Selection, Variant
from ddbench.protocols import merged, read_toml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class VariantTable(_Strict):
    """One row of an ablation."""

    name: str = ""
    method: str = ""
    matcher: str = ""
    regularizer: str = ""
    set: dict[str, Any] = {}


class SuiteTable(_Strict):
    """The fields of a suite; lists may be written as a single value."""

    title: str = ""
    method: list[str] = ["wmdd"]
    matcher: list[str] = []
    regularizer: list[str] = []
    dataset: list[str] = ["digits"]
    ipc: list[int] = []
    arch: list[str] = ["resnet18"]
    teacher: list[str] = ["resnet18"]
    labels: list[str] = []
    evaluator: list[str] = []
    protocol: list[str] = ["ddbench-v1"]
    seeds: int = 3
    seed: int = 0
    students: int = 1
    holdout: float = 0.0
    reference: bool = True
    set: dict[str, Any] = {}
    variant: list[VariantTable] = []

    @field_validator(
        "method", "matcher", "regularizer", "dataset", "ipc", "arch", "teacher", "labels",
        "evaluator", "protocol", mode="before",
    )  # fmt: skip
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]


def read_suite(path: Path | None, profile: str, flags: Mapping[str, Any]) -> SuiteTable:
    """A suite file with a profile's changes and then the flags' put in.

    Args:
        path: TOML file; None for the defaults.
        profile: Name of a `[profile.NAME]` table; "" for none.
        flags: Fields that were given on the command line.

    Raises:
        DDBenchError: the file is missing or malformed, or a field or profile is unknown.
    """
    raw: dict[str, Any] = {} if path is None else read_toml(path)
    profiles = raw.pop("profile", {})
    if profile:
        if profile not in profiles:
            raise unknown("profile", profile, profiles, hint="leave --profile away")
        raw = merged(raw, profiles[profile])
    where = str(path) if path is not None else "the command line"
    # Composition by flags is another grid than the variants of a file.
    if flags.get("matcher") or flags.get("regularizer"):
        raw.pop("variant", None)
    try:
        return SuiteTable.model_validate(merged(raw, flags))
    except ValidationError as fault:
        facts, hint = _facts(fault)
        raise DDBenchError(f"{where} is not a valid suite", *facts, hint=hint) from fault


def _facts(fault: ValidationError) -> tuple[list[str], str]:
    """One fact a field, and a hint: the nearest name where one does not exist."""
    facts, hint = [], ""
    for error in fault.errors():
        place = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            table = VariantTable if error["loc"][0] == "variant" else SuiteTable
            guess = nearest(str(error["loc"][-1]), table.model_fields)
            facts.append(f"{place}: no such field; known: {', '.join(table.model_fields)}")
            hint = hint or (f"did you mean '{guess}'?" if guess else "")
        else:
            facts.append(f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]}")
    return facts, hint or "mend these fields"


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
        variants=tuple(
            Variant(
                name=v.name, method=v.method, matcher=v.matcher, regularizer=v.regularizer,
                set=_texts(v.set),
            )
            for v in suite.variant
        ),
        title=suite.title,
        precision=precision,
    )  # fmt: skip


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
