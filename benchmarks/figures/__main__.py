"""The command: `python -m benchmarks.figures figure1`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import matplotlib
import typer

from ddbench.api.errors import DDBenchError
from ddbench.cli import show_error

FIGURES = ("figure1", "figure4", "figure5", "images")


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(FIGURES)}.")],
    folder: Annotated[Path, typer.Option("--folder", "-o", help="For SVG, PDF and PNG.")] = Path(),
    records: Annotated[
        Path | None,
        typer.Option("--records", help="Of the suite benchmarks/NAME.toml, but for figure1."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Where the artifacts behind the records are, for figure4 and images."
        ),
    ] = None,
) -> None:
    """Draws a figure of the WMDD paper; all but figure1 from the records of their suites."""
    matplotlib.use("Agg")
    if name not in FIGURES:
        raise typer.BadParameter(f"no figure '{name}'; known: {', '.join(FIGURES)}")
    try:
        paths = _draw(name, folder, records, cache)
    except DDBenchError as fault:
        show_error(fault)
        sys.exit(2)
    for path in paths:
        typer.echo(path)


def _draw(name: str, folder: Path, records: Path | None, cache: Path | None) -> list[Path]:
    if name == "figure1":
        from benchmarks.figures import barycenters

        return barycenters.draw(folder)
    from ddbench.store.records import Records

    if records is None or not records.is_dir():
        raise typer.BadParameter(f"{name} needs --records FOLDER, the records of its suite")
    found = list(Records(records).all())
    if name == "figure4":
        from benchmarks.figures import embedding
        from ddbench.store.cache import find_cache

        return embedding.draw(found, folder, find_cache(cache))
    if name == "images":
        from benchmarks.figures import image_grids
        from ddbench.store.cache import find_cache

        return image_grids.draw(found, folder, find_cache(cache))
    from benchmarks.figures import strength

    return strength.draw(found, folder)


if __name__ == "__main__":
    typer.run(main)
