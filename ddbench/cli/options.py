"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ddbench.api.errors import DDBenchError

CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of artifacts and records.",
        envvar="DDBENCH_CACHE",
        show_default="the platform's cache folder",
        file_okay=True,
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Folder that holds the data sets.", envvar="DDBENCH_DATA",
        show_default=False,
    ),
]  # fmt: skip
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[
    str,
    typer.Option("--precision", help="auto, fp32 or bf16; auto takes bf16 where it is native."),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Compile recover iterations (torch.compile): for long runs on a GPU."
    ),
]
CheckpointOption = Annotated[
    bool,
    typer.Option(
        "--checkpoint",
        help="Compute activations of recover iterations again instead of keeping them: less "
        "memory. Done by itself where a device runs out.",
    ),
]
FormatOption = Annotated[
    str, typer.Option("--format", "-f", help="Of the tables: terminal, md, csv or tex.")
]


def format_names(typed: str) -> list[str]:
    """Names of the installed formats of distilled sets, for the shell's completion."""
    from ddbench.registry import load

    return [name for name in load().names("format") if name.startswith(typed)]


SetDatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Data set that it is of, if it does not say so itself."),
]
PixelsOption = Annotated[
    str | None,
    typer.Option("--pixels", help="What floating images are: normalised, whitened or unit (0..1)."),
]
FORMATS = ("terminal", "md", "csv", "tex")


def split(text: str | None, flag: str = "") -> list[str]:
    """Values between commas; commas inside brackets belong to options.

    Raises:
        DDBenchError: the flag was given and names nothing, as `--method "$UNSET"` does.
    """
    if text is None:
        return []
    found = [piece.strip() for piece in re.split(r",(?![^\[]*\])", text) if piece.strip()]
    if flag and not found:
        raise DDBenchError(f"{flag} is empty", hint="leave it out, or give it a value")
    return found


def said(text: str | None, flag: str) -> str:
    """The one value of a flag; "" where it is not given.

    Raises:
        DDBenchError: the flag was given and names nothing.
    """
    if text is not None and not text.strip():
        raise DDBenchError(f"{flag} is empty", "expected: a value",
                           hint="leave it out, or give it a value")  # fmt: skip
    return text or ""


def numbers(text: str | None, flag: str) -> list[int]:
    """Whole numbers between commas.

    Raises:
        DDBenchError: one is not a whole number.
    """
    found = []
    for piece in split(text, flag):
        try:
            found.append(int(piece))
        except ValueError as fault:
            raise DDBenchError(
                f"{flag} '{piece}' is not a whole number", hint=f"for example {flag} 1,10"
            ) from fault
    return found


def checked_format(name: str) -> str:
    """A table format that exists.

    Raises:
        DDBenchError: it does not.
    """
    if name not in FORMATS:
        from ddbench.api.errors import unknown

        raise unknown("format", name, FORMATS)
    return name
