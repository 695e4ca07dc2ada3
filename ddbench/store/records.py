"""Folders of records: reading, writing, merging, checksums. Their schema: `ddbench.api.record`."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from ddbench.api.errors import DDBenchError, DDBenchWarning
from ddbench.api.record import RECORD_SCHEMA, Record
from ddbench.store.files import write_whole


class UnreadableError(DDBenchError):
    """A file that is no record."""


class Records:
    """The records of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Record | None:
        """Returns the record of a cell, or None. Sets one aside that cannot be read, and warns.

        Raises:
            DDBenchError: it is of a newer schema.
        """
        for path in self.folder.glob(f"*-{key}.json"):
            try:
                return read_record(path)
            except UnreadableError as fault:
                aside = path.with_suffix(".unreadable")
                path.replace(aside)
                _warn(f"{fault.problem}: {'; '.join(fault.facts)}; set aside as {aside.name}")
        return None

    def put(self, record: Record) -> Path:
        """Writes a record whole, in the place of an older one of the same cell.

        Raises:
            OSError: it cannot be written.
        """
        path = self.folder / record.file_name
        dated = record.model_copy(update={"created": record.created or format_now()})
        write_whole(path, seal(dated).model_dump_json(indent=1) + "\n")
        for old in self.folder.glob(f"*-{record.key}.json"):
            if old != path:
                old.unlink()
        return path

    def all(self) -> Iterator[Record]:
        """Reads every record, by name of its file; raises what `read_record` raises."""
        for _, record in self.files():
            yield record

    def files(self) -> Iterator[tuple[Path, Record]]:
        """Reads every record, with its file; raises what `read_record` raises."""
        for path in sorted(self.folder.glob("*.json")):
            yield path, read_record(path)

    def readable(self) -> Iterator[tuple[Path, Record]]:
        """Reads the records that can be read, with their files; warns of each of the others."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = read_record(path)
            except DDBenchError as fault:
                _warn(f"left out: {'; '.join((fault.problem, *fault.facts))}")
                continue
            yield path, record


def find_record_folders(folder: Path) -> list[Path]:
    """Returns the folder itself, or the folders of records below it, as in `leaderboards/`."""
    if any(folder.glob("*.json")):
        return [folder]
    return sorted({path.parent for path in folder.rglob("records/*.json")})


def read_folder(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Reads the records of a folder, or of all folders of records below it, with their files.

    Warns of each record that is left out: it cannot be read, or was altered after it was written.

    Args:
        folder: A folder of records, a cache, or a folder of leaderboards.
    """
    for place in find_record_folders(folder):
        for path, record in Records(place).readable():
            if is_altered(record):
                _warn(f"left out: {record.file_name} was altered after it was written")
            else:
                yield path, record


def read_record(path: Path) -> Record:
    """Reads a record from its file.

    Raises:
        UnreadableError: not a record.
        DDBenchError: of a newer schema.
    """
    try:
        raw = json.loads(path.read_text())
        version = raw.get("schema_version") if isinstance(raw, Mapping) else None
        if isinstance(version, int) and version > RECORD_SCHEMA:
            raise DDBenchError(
                f"{path.name} has record schema {version}; this ddbench reads {RECORD_SCHEMA}",
                hint="update ddbench",
            )
        return Record.model_validate(raw)
    except (ValueError, ValidationError, OSError) as fault:
        raise UnreadableError(
            f"cannot read the record {path}",
            _describe(fault),
            hint="move it away: the next run of its cell writes it again from the cache",
        ) from fault


def _describe(fault: Exception) -> str:
    """Returns one line about a fault; for a value that does not fit, with its place."""
    if not isinstance(fault, ValidationError):
        return str(fault).splitlines()[0]
    first, *others = fault.errors()
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    more = f", and {len(others)} more" if others else ""
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}"


def _warn(text: str) -> None:
    warnings.warn(text, DDBenchWarning, stacklevel=3)


def merge_earlier(record: Record, earlier: Record) -> Record:
    """Adds to a record what an earlier one of its cell has of evaluators that did not run again.

    Returns the record as it is where a student was trained anew or an evaluator has changed: which
    of the earlier numbers are still true is not known then.
    """
    if record.status != "ok" or earlier.status != "ok":
        return record
    anew = any(not cost.cached for cost in record.costs if cost.stage == "evaluate")
    changed = any(
        earlier.evaluators[name] != record.evaluators[name]
        for name in earlier.evaluators.keys() & record.evaluators.keys()
    )
    if anew or changed or len(earlier.metrics) != len(record.metrics):
        return record
    return record.model_copy(
        update={
            "keys": {**earlier.keys, **record.keys},
            "metrics": [
                {**old, **new} for old, new in zip(earlier.metrics, record.metrics, strict=True)
            ],
            "evaluators": {**earlier.evaluators, **record.evaluators},
            "directions": {**earlier.directions, **record.directions},
            "units": {**earlier.units, **record.units},
        }
    )


def compute_checksum(record: Record) -> str:
    """Computes the SHA-256 of everything that a record says besides its checksum.

    Fields with their default are left out, so that a field which comes later changes nothing.
    """
    said = record.model_dump(mode="json", exclude={"checksum"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def is_altered(record: Record) -> bool:
    """Tells whether a record was changed after it was written; False for one without a checksum."""
    return bool(record.checksum) and record.checksum != compute_checksum(record)


def seal(record: Record) -> Record:
    """Returns the record with its checksum, by which later changes by hand are noticed."""
    return record.model_copy(update={"checksum": compute_checksum(record)})


def format_now() -> str:
    """Returns the time in UTC to the second: `2025-12-31T23:59:59Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
