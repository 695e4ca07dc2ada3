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
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from filelock import FileLock, Timeout

from ddbench.api.errors import DDBenchWarning
from ddbench.store.files import explain_faults, sync, write_whole
from ddbench.store.keys import Key

SCHEMA = 1
ENVIRONMENT = "DDBENCH_CACHE"
_TENSORS, _CARD = "tensors.safetensors", "card.json"
GROUP = "group"
"""Name of the tensor that every finished group has."""
DAY = 24 * 3600.0
"""Seconds for which `collect` leaves alone what a running process may still want."""
_QUICK = 1 << 30
"""Larger files are checked by size when loaded; `ddbench cache verify` reads them through."""


class DamagedError(Exception):
    """An artifact whose bytes are not those that were written."""


def find_cache(given: Path | None) -> Path:
    """Returns `--cache`, else DDBENCH_CACHE, else the platform's cache folder."""
    if given is not None:
        return given
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("ddbench")


@dataclass(frozen=True, slots=True)
class Artifact:
    """Tensors and card that a stage stored."""

    key: Key
    stage: str
    path: Path
    card: Mapping[str, Any]

    @property
    def cost(self) -> Mapping[str, Any]:
        return self.card["cost"]

    def tensors(self) -> dict[str, Any]:
        """Reads the tensors, on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.path / _TENSORS)

    def size(self) -> int:
        """Counts the bytes of all files."""
        return sum(f.stat().st_size for f in self.path.iterdir() if f.is_file())


class Cache:
    """One cache folder, shared safely by any number of processes.

    Raises:
        DDBenchError: the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        with explain_faults(self.root):
            for name in ("artifacts", "records", "partial", "locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)

    # -- reading ---------------------------------------------------------------------------

    def path(self, stage: str, key: Key) -> Path:
        """Returns the folder of an artifact, whether it is there or not."""
        return self.root / "artifacts" / stage / key

    def has(self, stage: str, key: Key) -> bool:
        """Tells whether there is an artifact, without reading it through."""
        return (self.path(stage, key) / _CARD).is_file()

    def load(self, stage: str, key: Key) -> Artifact | None:
        """Loads a whole artifact; None if there is none, or a damaged one, which is set aside."""
        if not self.path(stage, key).is_dir():
            return None
        try:
            return _verify(stage, key, self.path(stage, key))
        except DamagedError as fault:
            moved = self._set_aside(stage, key)
            warnings.warn(
                f"damaged artifact {stage} {key}: {fault}; moved to {moved} and made again",
                DDBenchWarning,
                stacklevel=2,
            )
            return None

    def entries(self) -> Iterator[tuple[str, Key, Path]]:
        """Yields stage, key and folder of every artifact, unread."""
        for folder in sorted((self.root / "artifacts").glob("*/*")):
            if folder.is_dir() and not folder.name.endswith(".tmp"):
                yield folder.parent.name, folder.name, folder

    # -- writing ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Lets only one process at a time in, for one name."""
        lock = FileLock(self.root / "locks" / f"{name}.lock")
        with explain_faults(self.root):
            lock.acquire()
        try:  # what fails in here need not be the cache
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def locks(self, names: Iterable[str]) -> Iterator[list[str]]:
        """Holds those of the locks that are free, and says which; waits for none."""
        with contextlib.ExitStack() as held, explain_faults(self.root):
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
        with explain_faults(self.root):
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
                    sync(draft / name)
                first = self._publish(draft, stage, key)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return first or Artifact(key, stage, final, full)

    def _publish(self, draft: Path, stage: str, key: Key) -> Artifact | None:
        """Gives a draft its name; returns what another process has stored under it, if anything.

        What lies there and is damaged is set aside.
        """
        final = self.path(stage, key)
        while True:
            try:
                draft.rename(final)
            except OSError as fault:
                if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                first = self.load(stage, key)
                if first is not None:
                    return first
            else:
                sync(final.parent)
                return None

    def partial(self, stage: str, key: Key) -> PartialGroups:
        """Returns the finished groups of a stage that may be interrupted."""
        return PartialGroups(self.root / "partial" / f"{stage}-{key}", self.root)

    # -- care ------------------------------------------------------------------------------

    def verify(self) -> list[tuple[str, Key, str]]:
        """Lists stage, key and fault of every damaged artifact; nothing is moved."""
        faults = []
        for stage, key, folder in self.entries():
            try:
                _verify(stage, key, folder, thorough=True)
            except DamagedError as fault:
                faults.append((stage, key, str(fault)))
        return faults

    def collect(self, keep: set[Key], dry: bool = False, age: float = DAY) -> tuple[int, int]:
        """Removes artifacts that are not in `keep`, drafts, unfinished work and damaged artifacts.

        What another process may be at stays: records name an artifact when a cell ends only.

        Args:
            keep: Keys of artifacts that stay.
            dry: Only count.
            age: Seconds for which what a process may still want lies untouched before it goes.

        Returns:
            Number of folders and of bytes that went.
        """
        left = [(key, path) for _, key, path in self.entries() if key not in keep]
        left += [(p.name.partition(".")[0], p) for p in (self.root / "artifacts").glob("*/*.tmp")]
        left += [(p.name.rpartition("-")[2], p) for p in (self.root / "partial").glob("*")]
        left = [(key, path) for key, path in left if _find_last_change(path) < time.time() - age]
        left += [("", path) for path in (self.root / "damaged").glob("*")]
        count = freed = 0
        for key, path in left:
            with self._try_lock(key) as free:
                if free:
                    count += 1
                    freed += sum(s.st_size for s in _read_stats(path) if S_ISREG(s.st_mode))
                    if not dry:
                        with explain_faults(self.root):
                            shutil.rmtree(path)
        return count, freed

    @contextlib.contextmanager
    def _try_lock(self, name: str) -> Iterator[bool]:
        """Tells whether no process is inside a lock, and lets none in; makes no lock."""
        if not (self.root / "locks" / f"{name}.lock").exists():
            yield True
            return
        with self.locks([name]) as free:
            yield bool(free)

    def _set_aside(self, stage: str, key: Key) -> Path:
        target = self.root / "damaged" / f"{stage}-{key}-{time.time_ns()}"
        with explain_faults(self.root), contextlib.suppress(FileNotFoundError):  # others see it too
            target.parent.mkdir(exist_ok=True)
            self.path(stage, key).rename(target)
        return target


class PartialGroups:
    """Tensors of finished groups by index, on disk until the whole artifact is stored."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root

    def get(self, index: int, names: Collection[str] = (GROUP,)) -> dict[str, Any] | None:
        """Loads the tensors of a finished group, or None.

        One that cannot be read, or has tensors of other names, counts as not finished.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / f"{index:06d}.safetensors"
        if not path.is_file():
            return None
        with contextlib.suppress(SafetensorError, OSError):
            group = load_file(path)
            if group.keys() == set(names):
                return group
        path.unlink(missing_ok=True)
        return None

    def put(self, index: int, group: Mapping[str, Any]) -> None:
        """Stores a finished group, whole or not at all."""
        from safetensors.torch import save_file

        with explain_faults(self._root):
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = self.folder / f"{index:06d}.{os.getpid()}.tmp"
            solid = {name: tensor.detach().cpu().contiguous() for name, tensor in group.items()}
            save_file(solid, draft)
            sync(draft)
            draft.rename(self.folder / f"{index:06d}.safetensors")

    def divide(self, name: str) -> PartialGroups:
        """Returns those of one way to divide the images; `clear` of the whole clears them too."""
        return PartialGroups(self.folder / name, self._root)

    def clear(self) -> None:
        """Removes all groups."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _verify(stage: str, key: Key, folder: Path, thorough: bool = False) -> Artifact:
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


def _find_last_change(path: Path) -> float:
    """Returns when a folder or something in it was written last."""
    return max((stat.st_mtime for stat in _read_stats(path)), default=0.0)


def _read_stats(path: Path) -> Iterator[os.stat_result]:
    """Yields the stats of a folder and all in it, unless another process takes it away."""
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            yield each.stat()
