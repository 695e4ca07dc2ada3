"""Data sets laid out as one folder a class: listing, checking, fingerprint, reading."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ddbench.api.errors import DDBenchError
from ddbench.api.roles import Dataset
from ddbench.api.types import DatasetInfo
from ddbench_plugins.datasets._images import Chunk, Frame, compare_counts, decode, decode_all

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SAMPLE = 50
"""Images that `find_problems` decodes of each split."""


@dataclass(frozen=True, slots=True)
class ClassFiles:
    """The images of one class in one split, sorted by file name."""

    folder: Path
    names: tuple[str, ...]
    """Relative to the folder."""
    sizes: tuple[int, ...]
    """Bytes."""

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, rows: Iterable[int]) -> ClassFiles:
        """Returns some of the images, in the order of their names."""
        rows = sorted(rows)
        names, sizes = self.names, self.sizes
        return ClassFiles(
            self.folder, tuple(names[row] for row in rows), tuple(sizes[row] for row in rows)
        )


Split: TypeAlias = Mapping[str, ClassFiles]
"""Images by class."""


def sort_files(folder: Path, files: Iterable[tuple[str, int]]) -> ClassFiles:
    """Returns the files of a class, by file name, whatever the folder within the class."""
    ordered = sorted(files, key=lambda item: (_strip_folder(item[0]), item[0]))
    return ClassFiles(folder, tuple(n for n, _ in ordered), tuple(s for _, s in ordered))


def list_images(folder: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yields relative name and size of every image below a folder; ignores hidden and other files.

    Raises:
        DDBenchError: one is a link that leads nowhere, or may not be looked at.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from list_images(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(SUFFIXES):
                yield f"{prefix}{entry.name}", _size(entry)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError as fault:
        raise DDBenchError(
            f"image {entry.path} cannot be read",
            "expected: a file, or a link to one",
            fault.strerror or str(fault),
            hint="remove it, or unpack the data again",
        ) from fault


def list_folders(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder, sorted; ignores hidden ones."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def scan(folder: Path) -> Split:
    """Returns the images of every class folder in a folder, classes sorted by name."""
    return {
        name: sort_files(folder / name, list_images(folder / name)) for name in list_folders(folder)
    }


@dataclass(frozen=True, slots=True)
class Folders:
    """A data set as found on disk: files of both splits by class, nothing decoded."""

    name: str
    """As the user names it."""
    base: Path
    """What file names in errors are relative to."""
    train: Split
    test: Split
    frame: Frame

    def describe(
        self,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        titles: tuple[str, ...] = (),
    ) -> DatasetInfo:
        """Describes the data set, from names and sizes of files alone."""
        side = self.frame.resolution
        return DatasetInfo(
            name=self.name,
            classes=tuple(self.train),
            shape=(3, side, side),
            mean=mean,
            std=std,
            train_counts=tuple(len(files) for files in self.train.values()),
            test_counts=tuple(len(self.test[name]) for name in self.train),
            fingerprint=self._hash_files(),
            titles=titles,
        )

    def _hash_files(self) -> str:
        """Returns the sha-256 of the splits' classes, file names and file sizes."""
        digest = hashlib.sha256()
        for title, split in (("train", self.train), ("test", self.test)):
            for name in self.train:
                files = split[name]
                digest.update(f"{title}/{name}\0{len(files)}\0".encode())
                pairs = zip(files.names, files.sizes, strict=True)
                digest.update("".join(f"{_strip_folder(n)}\0{s}\0" for n, s in pairs).encode())
        return digest.hexdigest()

    def read(self, split: Literal["train", "test"]) -> Iterator[Chunk]:
        """Yields images sorted by class, then by file name."""
        return decode_all(self._list_files(split), self.frame)

    def _list_files(self, split: Literal["train", "test"]) -> Iterator[tuple[Path, str, int]]:
        classes = self.train if split == "train" else self.test
        for index, name in enumerate(self.train):
            for file in classes[name].names:
                path = classes[name].folder / file
                yield path, _shorten(path, self.base), index

    def find_problems(
        self, train: Sequence[int] | None = None, test: Sequence[int] | None = None
    ) -> list[str]:
        """Returns what is not as published: counts, and images of a sample that do not decode.

        Args:
            train: Images expected of each class; None if any number is right.
            test: The same of the test split.
        """
        problems: list[str] = []
        for title, split, expected in (("training", self.train, train), ("test", self.test, test)):
            counts = [len(split[name]) for name in self.train]
            problems += compare_counts(title, self.train, counts, expected or counts)
        for split_name in ("train", "test"):
            files = list(self._list_files(split_name))
            for path, name, _ in files[:: max(1, len(files) // SAMPLE)]:
                try:
                    decode(path, name, self.frame)
                except DDBenchError as fault:
                    problems.append(f"{fault.problem}: {'; '.join(fault.facts)}")
        return problems


class FolderDataset(Dataset):
    """A data set of class folders, which a subclass finds."""

    @abstractmethod
    def _find(self, root: Path | None) -> Folders:
        """Returns the folders of both splits.

        Raises:
            DDBenchError: they are not there, or not as they should be.
        """

    def read(self, split: Literal["train", "test"], root: Path | None) -> Iterator[Chunk]:
        return self._find(root).read(split)


def match_splits(
    name: str, base: Path, train: Split, test: Split, frame: Frame, classes: Sequence[str] = ()
) -> Folders:
    """Returns both splits, checked: the same classes, more than one, each with images.

    Args:
        name: The data set, as the user names it.
        base: What file names in errors are relative to.
        train: Images by class.
        test: Images by class; matched by name, so the order does not matter.
        frame: How images become squares.
        classes: The classes that there must be; () for any.

    Raises:
        DDBenchError: they are not as they should be.
    """
    for title, split in (("train", train), ("test", test)):
        if classes and set(split) != set(classes):
            raise _explain_classes(name, base, title, set(split), set(classes))
    if set(train) != set(test):
        raise DDBenchError(
            f"data set '{name}' has other classes to train than to test",
            f"to train only: {_join(set(train) - set(test))}",
            f"to test only: {_join(set(test) - set(train))}",
            hint="give both folders the same class folders; their names decide, not their order",
        )
    if not train:
        raise DDBenchError(
            f"data set '{name}' is empty",
            f"no class folders in {base}",
            hint="put the images of each class into a folder of their own",
        )
    if len(train) == 1:
        raise DDBenchError(
            f"data set '{name}' has one class, '{next(iter(train))}'",
            f"found in {base}; expected: two class folders or more",
            hint="name the folder that holds the class folders",
        )
    for title, split in (("training", train), ("test", test)):
        bare = [cls for cls, files in split.items() if not len(files)]
        if bare:
            raise DDBenchError(
                f"data set '{name}' has classes without {title} images",
                f"no images: {_join(bare)}",
                f"counted as images: {', '.join(SUFFIXES)}",
                hint="remove the empty class folders, or unpack the data again",
            )
    return Folders(name, base, {cls: train[cls] for cls in sorted(train)}, test, frame)


def _explain_classes(
    name: str, base: Path, split: str, present: set[str], expected: set[str]
) -> DDBenchError:
    return DDBenchError(
        f"data set '{name}' has other classes in its {split} folder than it should",
        f"looked in {base}; found {len(present)} classes, expected {len(expected)}",
        f"missing: {_join(expected - present)}",
        f"not expected: {_join(present - expected)}",
        hint="unpack the data again, or use folder:PATH for images of your own",
    )


def _join(names: Iterable[str], limit: int = 12) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return (", ".join(ordered[:limit]) + more) or "none"


def _strip_folder(name: str) -> str:
    return name.rpartition("/")[2]


def _shorten(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
