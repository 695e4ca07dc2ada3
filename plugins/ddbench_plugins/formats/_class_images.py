"""Reads and writes images in class folders, whose names are numbers or classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8

from ddbench.api.distilled_set import PortableSet
from ddbench.api.errors import DDBenchError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_NUMBER = re.compile(r"(?:new)?(\d+)")
_IN_FILE = re.compile(r"class(\d+)_")


def list_class_folders(path: Path) -> list[Path]:
    """Lists the folders that hold images, in the order of their names, as `ImageFolder` does."""
    if not path.is_dir():
        return []
    return [inner for inner in sorted(path.iterdir()) if inner.is_dir() and list_images(inner)]


def list_images(folder: Path) -> list[Path]:
    """Lists the images of one folder, in the order of their names."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def has_class_folders(path: Path) -> bool:
    """Tells whether a folder has at least two folders of images."""
    return len(list_class_folders(path)) > 1


def read_class_folders(path: Path) -> PortableSet:
    """Reads a set of bytes and labels.

    The card has `class_names`, of which labels are places, and `class_count` besides where folders
    are named by the numbers 0, 1, …, which are then the labels.

    Raises:
        DDBenchError: class numbers that are missing or doubled; a file of another class than its
            folder; images that cannot be decoded or differ in shape.
    """
    folders = list_class_folders(path)
    if len(folders) < 2:
        raise DDBenchError(
            f"{path} holds {len(folders)} folders with images",
            "expected: one folder a class",
            hint="name the folder above the class folders",
        )
    numbers = _read_numbers(path, folders)
    images, labels = [], []
    for place, folder in enumerate(folders):
        cls = place if numbers is None else numbers[place]
        for file in list_images(folder):
            named = _IN_FILE.match(file.name)
            if named is not None and numbers is not None and int(named[1]) != cls:
                raise DDBenchError(
                    f"{file} is named after class {int(named[1])} and lies in the folder of {cls}",
                    "the folder is of another class order",
                    hint="move the folders to the order in which the images were named",
                )
            images.append(_decode(file))
            labels.append(cls)
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise DDBenchError(
            f"{path} holds images of {len(shapes)} shapes",
            f"such as {', '.join(str(tuple(shape)) for shape in sorted(shapes)[:3])}",
            hint="a distilled set has one resolution",
        )
    names = [folder.name for folder in folders]
    card: dict[str, Any] = {"class_names": names}
    if numbers is not None:
        ordered = [name for _, name in sorted(zip(numbers, names, strict=True))]
        card = {"class_names": ordered, "class_count": len(folders)}
    return PortableSet(
        images=torch.from_numpy(np.stack(images)),
        labels=torch.tensor(labels),
        pixels="bytes",
        card=card,
    )


def write_class_folders(
    path: Path, images: UInt8[torch.Tensor, "n c h w"], labels: Int[torch.Tensor, " n"], suffix: str
) -> None:
    """Writes files such as `new003/class003_id000.png`, as SRe2L names them."""
    from PIL import Image

    width = max(3, len(str(int(labels.max()))))
    seen: dict[int, int] = {}
    for image, cls in zip(images, labels.tolist(), strict=True):
        number = seen[cls] = seen.get(cls, -1) + 1
        folder = path / f"new{cls:0{width}d}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            folder / f"class{cls:0{width}d}_id{number:03d}.{suffix}"
        )


def _read_numbers(path: Path, folders: Sequence[Path]) -> list[int] | None:
    """Reads the class of each folder off its name; None where names are no numbers.

    Plain numbers that are not 0, 1, … are names: those of a data set may begin with 1.

    Raises:
        DDBenchError: some are numbers and some are not, or numbers are missing or doubled.
    """
    matches = [_NUMBER.fullmatch(folder.name) for folder in folders]
    plain = all(folder.name.isdecimal() for folder in folders)
    if not any(matches):
        return None
    numbers = [-1 if match is None else int(match[1]) for match in matches]
    if sorted(numbers) != list(range(len(folders))):
        if plain:
            return None
        odd = next(
            folder.name
            for folder, number in zip(folders, numbers, strict=True)
            if number < 0 or number >= len(folders) or numbers.count(number) > 1
        )
        raise DDBenchError(
            f"{path}: folder '{odd}' does not fit {len(folders)} numbered classes",
            f"expected: one folder for each class from 0 to {len(folders) - 1}",
            hint="is a class missing, or are there two orders of classes in one folder?",
        )
    return numbers


def _decode(file: Path) -> UInt8[np.ndarray, "c h w"]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "RGB"):
                raise DDBenchError(
                    f"{file} has pixels of mode {image.mode}",
                    "expected: grey or RGB, 8 bits",
                    hint="convert the images",
                )
            pixels = np.asarray(image)
    except DDBenchError:
        raise
    except Exception as fault:  # PIL raises many kinds for damaged files
        raise DDBenchError(
            f"{file} cannot be decoded",
            f"{type(fault).__name__}: {fault}",
            hint="is it cut short? fetch it again",
        ) from fault
    return pixels[None].copy() if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy()
