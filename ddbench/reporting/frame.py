"""Records as a pandas DataFrame: one row a student, a typed column for each fact and metric."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddbench.api.errors import DDBenchError
from ddbench.api.record import Record
from ddbench.store.records import read_folder, read_record

if TYPE_CHECKING:  # takes half a second to import
    import pandas

COLUMNS = {
    "key": ("string", "key of the cell: equal keys are equal cells"),
    "method": ("string", "name of the method"),
    "title": ("string", "name of the method in tables"),
    "variant": ("string", 'name of a row of an ablation, else ""'),
    "dataset": ("string", "name of the data set"),
    "holdout": ("float64", "share of the training images held out to judge students, 0 for none"),
    "ipc": ("Int64", "images per class, <NA> for the whole data set"),
    "teacher": ("string", "teacher that students learn from, an ensemble joined by `+`"),
    "teachers": ("string", "all teachers trained for the cell, joined by `+`"),
    "student": ("string", "architecture of the students"),
    "labels": ("string", "name of the labeller"),
    "protocol": ("string", "name of the protocol that trains and judges students"),
    "precision": ("string", "`fp32` or `bf16`"),
    "profile": ("string", 'profile that changed options, else ""; `smoke` is no result'),
    "given": ("string", 'options changed against the recipe, `name=value, …`, else ""'),
    "baseline": ("bool", "a reference row: random images or all of them"),
    "seed": ("Int64", "seed of the distillation"),
    "run": ("Int64", "number of the student of its distilled set, from 0; <NA> where none is"),
    "status": ("string", "`ok`, `incompatible`, `diverged`, `oom` or `error`"),
    "reason": ("string", 'why the cell failed, else ""'),
    "published": ("float64", "top-1 that the paper claims, in percent"),
    "seconds": ("float64", "seconds of all stages, each once, cached ones included"),
    "iteration_seconds": ("float64", "seconds of an iteration of recover"),
    "peak_bytes": ("Int64", "highest peak memory of all stages"),
    "image_bytes": ("Int64", "stored size of the images"),
    "label_bytes": ("Int64", "stored size of the labels"),
    "teacher_bytes": ("Int64", "size of the teacher's weights where it labels every view, else 0"),
    "device": ("string", "devices that stages ran on, joined by `; `"),
    "commit": ("string", "commit of ddbench that made the record"),
    "dirty": ("boolean", "that commit had been changed"),
    "created": ("datetime64[ns, UTC]", "when the record was written"),
    "command": ("string", "command that made the record"),
}
"""First columns of every frame, in their order: dtype and meaning."""


def results(source: str | os.PathLike[str] | Iterable[Record]) -> pandas.DataFrame:
    """Reads records into a DataFrame: one row a student, and one for each cell that failed.

    The first columns are `COLUMNS`. Then comes one for every metric that a student has, `top1`
    first, in the metric's own unit, and one for every figure that a stage reports, as
    `report.NAME`: all `float64`, NaN where there is no value. A metric with the name of one of the
    first columns is called `metric.NAME`. `docs/records.md` explains them all.

    A cell that lies in several folders under one name counts once: the record that ended best, and
    of these the newest. Under several names, as in two ablations, it has rows under each;
    `frame.drop_duplicates(["key", "run"])` leaves one.

    Args:
        source: A folder of records, a cache, a folder of leaderboards, the file of one record; or
            records themselves.

    Raises:
        DDBenchError: there is no such folder or file, or no record in it.

    Warns:
        DDBenchWarning: a record is left out: it cannot be read, or was altered since.
    """
    import pandas

    rows = [row for record in _choose_best(_read(source)) for row in _make_rows(record)]
    others = {name for row in rows for name in row} - COLUMNS.keys()
    ordered = sorted(others, key=lambda n: (n.startswith("report."), not n.startswith("top"), n))
    dtypes = {name: dtype for name, (dtype, _) in COLUMNS.items()} | dict.fromkeys(
        ordered, "float64"
    )
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in dtypes.items()
        }
    )


def _read(source: str | os.PathLike[str] | Iterable[Record]) -> Iterable[Record]:
    if not isinstance(source, (str, os.PathLike)):
        return source
    path = Path(source)
    records = [read_record(path)] if path.is_file() else [r for _, r in read_folder(path)]
    if not records:
        raise DDBenchError(
            f"no records in {path}",
            hint="name a folder of records, a cache or a folder of leaderboards",
        )
    return records


def _choose_best(records: Iterable[Record]) -> Iterable[Record]:
    """Returns one record for each cell and name, in the order in which they come."""
    best: dict[tuple[str, str], Record] = {}
    for record in records:
        place = record.key, record.variant
        best[place] = max(
            best.get(place, record), record, key=lambda r: (r.status == "ok", r.created)
        )
    return best.values()


def _make_rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yields the values of a record by column, for each of its students."""
    recover = record.cost_of("recover")
    facts = {name: getattr(record, name, None) for name in COLUMNS} | {
        "teachers": "+".join(record.teachers) or record.teacher,
        "given": ", ".join(f"{name}={value}" for name, value in sorted(record.given.items())),
        "published": record.claim.value if record.claim else None,
        "seconds": record.seconds if record.costs else None,
        "iteration_seconds": recover.iteration_seconds if recover else None,
        "device": "; ".join(record.devices),
        "commit": record.environment.get("commit"),
        "dirty": record.environment.get("dirty"),
        "created": record.created or None,
    }
    reports = {f"report.{name}": value for name, value in record.reports.items()}
    students: list[tuple[int | None, dict[str, float]]] = [*enumerate(record.metrics)]
    for run, metrics in students or [(None, {})]:
        named = {f"metric.{n}" if n in COLUMNS else n: value for n, value in metrics.items()}
        yield {**facts, **reports, **named, "run": run}
