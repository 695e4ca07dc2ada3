"""The artifact cache: key -> folder. Atomic, checksummed, locked; damage is set aside and remade.

    ROOT/artifacts/STAGE/KEY/{card.json, tensors.safetensors}
    ROOT/records/*.json        one a cell, never collected
    ROOT/partial/STAGE-KEY/    finished groups of a stage that is not finished yet
    ROOT/damaged/              artifacts that failed their checksum
    ROOT/locks/

A folder appears under its final name only when everything in it has been written and synced, so
that a kill, a crash or a full disk leaves either a whole artifact or none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ddbench.errors import DDBenchError, DDBenchWarning
from ddbench.keys import Key

SCHEMA = 1
ENVIRONMENT = "DDBENCH_CACHE"
_TENSORS, _CARD = "tensors.safetensors", "card.json"
_QUICK = 1 << 30
"""Larger files are checked by size when loaded; `ddbench cache verify` reads them through."""


class DamagedError(Exception):
    """An artifact whose bytes are not those that were written."""


def default_cache(given: Path | None) -> Path:
    """`--cache`, else DDBENCH_CACHE, else the platform's cache folder."""
    if given is not None:
        return given
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("ddbench")


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a stage left behind."""

    key: Key
    stage: str
    path: Path
    card: Mapping[str, Any]

    @property
    def cost(self) -> Mapping[str, Any]:
        return self.card["cost"]

    def tensors(self) -> dict[str, Any]:
        """The tensors, on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.path / _TENSORS)

    def size(self) -> int:
        return sum(f.stat().st_size for f in self.path.iterdir() if f.is_file())


class Cache:
    """One cache folder, shared safely by any number of processes.

    Raises:
        DDBenchError: the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        with explained(self.root):
            for name in ("artifacts", "records", "partial", "locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)

    # -- reading ---------------------------------------------------------------------------

    def path(self, stage: str, key: Key) -> Path:
        return self.root / "artifacts" / stage / key

    def has(self, stage: str, key: Key) -> bool:
        """Whether there is an artifact, without reading it through."""
        return (self.path(stage, key) / _CARD).is_file()

    def load(self, stage: str, key: Key) -> Artifact | None:
        """A whole artifact, or None. A damaged one is set aside, with a warning, and is None."""
        if not self.has(stage, key):
            return None
        try:
            return _verified(stage, key, self.path(stage, key))
        except DamagedError as fault:
            moved = self._set_aside(stage, key)
            import warnings

            warnings.warn(
                f"damaged artifact {stage} {key}: {fault}; moved to {moved} and made again",
                DDBenchWarning,
                stacklevel=2,
            )
            return None

    def entries(self) -> Iterator[tuple[str, Key, Path]]:
        """Every artifact by stage and key, unread."""
        for folder in sorted((self.root / "artifacts").glob("*/*")):
            if folder.is_dir() and not folder.name.endswith(".tmp"):
                yield folder.parent.name, folder.name, folder

    # -- writing ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Only one process at a time inside, for one name."""
        lock = FileLock(self.root / "locks" / f"{name}.lock")
        with explained(self.root):
            lock.acquire()
        try:  # what fails in here need not be the cache
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def locks(self, names: Iterable[str]) -> Iterator[list[str]]:
        """Holds those of the locks that are free, and says which; waits for none."""
        with contextlib.ExitStack() as held, explained(self.root):
            free = []
            for name in names:
                lock = FileLock(self.root / "locks" / f"{name}.lock")
                with contextlib.suppress(Timeout):
                    lock.acquire(blocking=False)
                    held.callback(lock.release)
                    free.append(name)
            yield free

    def store(
        self,
        stage: str,
        key: Key,
        tensors: Mapping[str, Any],
        card: Mapping[str, Any],
        files: Mapping[str, Path] | None = None,
    ) -> Artifact:
        """Writes an artifact whole or not at all.

        Args:
            stage: Name of the stage.
            key: Content key.
            tensors: Goes to `tensors.safetensors`.
            card: Goes to `card.json`, with key, stage, sizes and checksums added.
            files: Large files written beforehand, moved in under these names.
        """
        from safetensors.torch import save_file

        final = self.path(stage, key)
        draft = final.with_name(f"{key}.{os.getpid()}.tmp")
        with explained(self.root):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            try:
                solid = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
                save_file(solid, draft / _TENSORS)
                for name, source in (files or {}).items():
                    shutil.move(source, draft / name)
                names = [_TENSORS, *(files or {})]
                full = {
                    "schema": SCHEMA,
                    "stage": stage,
                    "key": key,
                    "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "sha256": {name: _sha256(draft / name) for name in names},
                    "bytes": {name: (draft / name).stat().st_size for name in names},
                    **card,
                }
                write_whole(draft / _CARD, json.dumps(full, indent=1, sort_keys=True))
                for name in names:
                    _sync(draft / name)
                if final.exists():  # another process was first, with the same content
                    shutil.rmtree(draft)
                else:
                    draft.rename(final)
                    _sync(final.parent)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        return Artifact(key, stage, final, full)

    def partial(self, stage: str, key: Key) -> PartialGroups:
        """Finished groups of a stage that may be interrupted."""
        return PartialGroups(self.root / "partial" / f"{stage}-{key}", self.root)

    # -- care ------------------------------------------------------------------------------

    def verify(self) -> list[tuple[str, Key, str]]:
        """Stage, key and fault of every damaged artifact; nothing is moved."""
        faults = []
        for stage, key, folder in self.entries():
            try:
                _verified(stage, key, folder, thorough=True)
            except DamagedError as fault:
                faults.append((stage, key, str(fault)))
        return faults

    def collect(self, keep: set[Key], dry: bool = False) -> tuple[int, int]:
        """Removes artifacts that are not in `keep`, drafts and damaged ones.

        Returns:
            How many folders went, and how many bytes.
        """
        doomed = [path for _, key, path in self.entries() if key not in keep]
        doomed += list((self.root / "artifacts").glob("*/*.tmp"))
        doomed += [p for name in ("damaged", "partial") for p in (self.root / name).glob("*")]
        freed = sum(f.stat().st_size for p in doomed for f in p.rglob("*") if f.is_file())
        if not dry:
            with explained(self.root):
                for path in doomed:
                    shutil.rmtree(path)
        return len(doomed), freed

    def _set_aside(self, stage: str, key: Key) -> Path:
        target = self.root / "damaged" / f"{stage}-{key}-{time.time_ns()}"
        with explained(self.root):
            target.parent.mkdir(exist_ok=True)
            self.path(stage, key).rename(target)
        return target


class PartialGroups:
    """Group index -> tensor, on disk, until the whole artifact is stored."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root

    def get(self, index: int) -> Any | None:
        """A finished group, or None; one that cannot be read counts as not finished."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / f"{index:06d}.safetensors"
        if not path.is_file():
            return None
        try:
            return load_file(path)["group"]
        except (SafetensorError, OSError, KeyError):
            path.unlink(missing_ok=True)
            return None

    def put(self, index: int, group: Any) -> None:
        from safetensors.torch import save_file

        with explained(self._root):
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = self.folder / f"{index:06d}.{os.getpid()}.tmp"
            save_file({"group": group.detach().cpu().contiguous()}, draft)
            _sync(draft)
            draft.rename(self.folder / f"{index:06d}.safetensors")

    def divided(self, name: str) -> PartialGroups:
        """Those of one way to divide the images; `clear` of the whole clears them as well."""
        return PartialGroups(self.folder / name, self._root)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that readers see the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained(path.parent):
        try:
            draft.write_text(text)
            _sync(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turns the faults of a disk into one sentence.

    Raises:
        DDBenchError: full, read-only, or not a folder.
    """
    reasons = {
        errno.ENOSPC: ("the disk of the cache is full", "free some space: `ddbench cache gc`"),
        errno.EDQUOT: ("the quota of the cache's disk is used up", "free some: `ddbench cache gc`"),
        errno.EROFS: ("the cache is on a read-only disk", "--cache DIR names another place"),
        errno.EACCES: ("the cache cannot be written", "--cache DIR names another place"),
        errno.EPERM: ("the cache cannot be written", "--cache DIR names another place"),
        errno.ENOTDIR: ("the cache is not a folder", "--cache DIR names another place"),
        errno.EEXIST: ("the cache is not a folder", "--cache DIR names another place"),
    }
    try:
        yield
    except OSError as fault:
        if fault.errno not in reasons:
            raise
        problem, hint = reasons[fault.errno]
        raise DDBenchError(problem, str(root), "nothing finished is lost", hint=hint) from fault
    except Exception as fault:
        # safetensors reports a full disk as an error of its own kind, with the text inside
        if type(fault).__name__ == "SafetensorError" and "No space left" in str(fault):
            problem, hint = reasons[errno.ENOSPC]
            raise DDBenchError(problem, str(root), "nothing finished is lost", hint=hint) from fault
        raise


def _verified(stage: str, key: Key, folder: Path, thorough: bool = False) -> Artifact:
    try:
        card = json.loads((folder / _CARD).read_text())
        sums, sizes = card["sha256"], card["bytes"]
    except (OSError, ValueError, KeyError) as fault:
        raise DamagedError(f"card.json cannot be read ({type(fault).__name__})") from fault
    if card.get("key") != key:
        raise DamagedError(f"card.json is that of {card.get('key')}")
    for name, wanted in sums.items():
        if not (folder / name).is_file():
            raise DamagedError(f"{name} is missing")
        size = (folder / name).stat().st_size
        if size != sizes[name]:
            raise DamagedError(f"{name} has {size} bytes, not {sizes[name]}")
        if (thorough or size <= _QUICK) and _sha256(folder / name) != wanted:
            raise DamagedError(f"the checksum of {name} does not match")
    return Artifact(key, stage, folder, card)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
