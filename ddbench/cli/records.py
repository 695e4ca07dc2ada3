"""Finds the records that commands are asked for: by key or file, by folder, by suite."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ddbench.api.errors import DDBenchError, format_count

if TYPE_CHECKING:
    from ddbench.api.record import Record


def find_record(name: str, cache: Path | None) -> Record:
    """Finds a record by its file, by its key or by the start of either.

    Raises:
        DDBenchError: there is none, or there are several.
    """
    from ddbench.store.records import read_record

    if name.endswith(".json") and Path(name).is_file():
        return read_record(Path(name))
    (folder,) = find_folders([], cache)
    paths = sorted(folder.glob("*.json"))
    starts = [
        path for path in paths if path.name.startswith(name) or _key_in(path.stem).startswith(name)
    ]
    if len(starts) == 1:
        return read_record(starts[0])
    if starts:
        raise DDBenchError(
            f"'{name}' is the start of {len(starts)} records",
            *(path.name for path in starts[:8]),
            hint="give more of the name",
        )
    near = _find_similar(name, [path.stem for path in paths])
    elsewhere = "`ddbench run` writes records; --cache DIR looks elsewhere"
    raise DDBenchError(
        f"unknown record '{name}'",
        *(f"there is {stem}" for stem in near),
        f"in {folder}: {format_count(len(paths), 'record')}",
        hint=f"did you mean '{near[0]}'?" if near else elsewhere,
    )


def _key_in(stem: str) -> str:
    return stem.rpartition("-")[2]


def _find_similar(name: str, stems: Sequence[str], most: int = 3) -> list[str]:
    """Returns the stems whose beginning, or whose key, is most like a name."""

    def likeness(stem: str) -> float:
        starts = (stem[: len(name)], _key_in(stem)[: len(name)])
        return max(difflib.SequenceMatcher(None, name, start).ratio() for start in starts)

    ranked = sorted((-likeness(stem), stem) for stem in stems)
    return [stem for score, stem in ranked[:most] if -score > 0.7]


def find_folders(given: Sequence[Path], cache: Path | None) -> list[Path]:
    """Returns the folders of records that were given, or else the cache's.

    Raises:
        DDBenchError: one that was given is no folder.
    """
    from ddbench.store.cache import find_cache

    for folder in given:
        if not folder.is_dir():
            raise DDBenchError(f"no folder {folder}", hint="name a folder of record files")
    return list(given) or [find_cache(cache) / "records"]


@dataclass(frozen=True, slots=True)
class SuiteRecords:
    """Records of a suite's cells, under the names that it gives them."""

    records: list[Record]
    title: str
    metrics: set[str]
    """Names of the metrics that the suite asks for."""


def find_suite_records(
    records: Sequence[Record],
    suite: Path,
    profile: str = "",
    assignments: Sequence[str] = (),
    data_root: Path | None = None,
    cache: Path | None = None,
) -> SuiteRecords:
    """Finds the records of a suite's cells, in any precision.

    Args:
        records: Where they are looked for.
        suite: The suite's file.
        profile: One of its profiles, or "".
        assignments: What `--set` said when the suite was run.
        data_root: Folder of the data sets.
        cache: The cache folder.

    Raises:
        DDBenchError: the suite is malformed, or names what does not exist.
    """
    from ddbench.config.overrides import parse_assignment
    from ddbench.config.session import open_session
    from ddbench.config.suite import read_suite
    from ddbench.pipeline.recording import rename_record
    from ddbench.runtime.context import Precision

    flags = {"set": dict(map(parse_assignment, assignments))} if assignments else {}
    table = read_suite(suite, profile, flags)
    session = open_session(data_root=data_root, cache=cache)
    evaluators = session.evaluators(table.evaluator)
    # Evaluators that were asked besides the suite's may have looked through a teacher: records are
    # found by the keys of their students.
    by_students: dict[tuple[str, ...], dict[str, Record]] = {}
    for record in records:
        students = tuple(record.keys.get("evaluate", ()))
        by_students.setdefault(students, {})[record.key] = record
    chosen = []
    there = {record.precision for record in records}
    precisions = [precision for precision in sorted(get_args(Precision)) if precision in there]
    for number, precision in enumerate(precisions):
        warn = number == 0  # once
        for plan in session.plans(table, evaluators, precision=precision, warn_unused=warn):
            alike = by_students.get(tuple(stage.key for stage in plan.evaluate), {})
            if alike:
                chosen.append(rename_record(alike.get(plan.key, [*alike.values()][-1]), plan))
    metrics = {metric.name for part in evaluators.values() for metric in part.metrics}
    return SuiteRecords(chosen, table.title, metrics)
