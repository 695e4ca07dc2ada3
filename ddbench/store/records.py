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
        """The record of a cell, or None; one that cannot be read is set aside, with a warning.

        Raises:
            DDBenchError: it is of a newer schema.
        """
        for path in self.folder.glob(f"*-{key}.json"):
            try:
                return read_record(path)
            except UnreadableError as fault:
                aside = path.with_suffix(".unreadable")
                path.replace(aside)
                said = f"{fault.problem}: {'; '.join(fault.facts)}; set aside as {aside.name}"
                warnings.warn(said, DDBenchWarning, stacklevel=2)
        return None

    def put(self, record: Record) -> Path:
        """Writes a record whole, in the place of an older one of the same cell.

        Raises:
            OSError: it cannot be written.
        """
        path = self.folder / record.file_name
        stamped = record.model_copy(update={"created": record.created or now()})
        write_whole(path, sealed(stamped).model_dump_json(indent=1) + "\n")
        for old in self.folder.glob(f"*-{record.key}.json"):
            if old != path:
                old.unlink()
        return path

    def all(self) -> Iterator[Record]:
        """Every record, oldest name first."""
        for _, record in self.files():
            yield record

    def files(self) -> Iterator[tuple[Path, Record]]:
        """Every record with its file."""
        for path in sorted(self.folder.glob("*.json")):
            yield path, read_record(path)

    def readable(self) -> Iterator[tuple[Path, Record]]:
        """Those that can be read, with their files; a warning for each of the others."""
        for path in sorted(self.folder.glob("*.json")):
            try:
                record = read_record(path)
            except DDBenchError as fault:
                said = f"left out: {'; '.join((fault.problem, *fault.facts))}"
                warnings.warn(said, DDBenchWarning, stacklevel=2)
                continue
            yield path, record


def joined(record: Record, earlier: Record) -> Record:
    """The record with what evaluators that were not asked this time had found in the same trials.

    Not where a student was trained anew, nor where an evaluator has changed: which of the earlier
    numbers are still true is not known then.
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


def checksum_of(record: Record) -> str:
    """SHA-256 of everything that the record says besides its checksum.

    Fields with their default are left out, so that a field which comes later changes nothing.
    """
    said = record.model_dump(mode="json", exclude={"checksum"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def is_altered(record: Record) -> bool:
    """Whether it was changed after it was written; one without a checksum cannot tell."""
    return bool(record.checksum) and record.checksum != checksum_of(record)


def sealed(record: Record) -> Record:
    """With its checksum: what is changed in the file by hand shows."""
    return record.model_copy(update={"checksum": checksum_of(record)})


def record_folders(folder: Path) -> list[Path]:
    """The folder itself, or the folders of records below it, as in `leaderboards/`."""
    if any(folder.glob("*.json")):
        return [folder]
    return sorted({path.parent for path in folder.rglob("records/*.json")})


def read_record(path: Path) -> Record:
    """A record from a file.

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
            f"cannot read the record {path}", _said(fault),
            hint="move it away: the next run of its cell writes it again from the cache",
        ) from fault  # fmt: skip


def _said(fault: Exception) -> str:
    """One line; of a value that does not fit, where it stands."""
    if not isinstance(fault, ValidationError):
        return str(fault).splitlines()[0]
    first, *others = fault.errors()
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    more = f", and {len(others)} more" if others else ""
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}"


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
