"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ddbench.errors import DDBenchError

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
FormatOption = Annotated[
    str, typer.Option("--format", "-f", help="Of the tables: terminal, md, csv or tex.")
]
FORMATS = ("terminal", "md", "csv", "tex")


def split(text: str | None) -> list[str]:
    """Values between commas; commas inside brackets belong to options."""
    if text is None:
        return []
    return [piece.strip() for piece in re.split(r",(?![^\[]*\])", text) if piece.strip()]


def numbers(text: str | None, flag: str) -> list[int]:
    """Whole numbers between commas.

    Raises:
        DDBenchError: one is not a whole number.
    """
    found = []
    for piece in split(text):
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
        from ddbench.errors import unknown

        raise unknown("format", name, FORMATS)
    return name
