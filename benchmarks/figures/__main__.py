"""The command: `python -m benchmarks.figures figure1`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib
import typer

FIGURES = ("figure1", "figure5")


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(FIGURES)}.")],
    folder: Annotated[Path, typer.Option("--folder", "-o", help="For SVG, PDF and PNG.")] = Path(),
    records: Annotated[
        Path | None, typer.Option("--records", help="Of benchmarks/figure5.toml, for figure5.")
    ] = None,
) -> None:
    """Draws a figure of the WMDD paper; figure5 from the records of its suite."""
    matplotlib.use("Agg")
    if name not in FIGURES:
        raise typer.BadParameter(f"no figure '{name}'; known: {', '.join(FIGURES)}")
    if name == "figure1":
        from benchmarks.figures import barycenters

        paths = barycenters.draw(folder)
    else:
        from benchmarks.figures import strength
        from ddbench.records import Records

        if records is None or not records.is_dir():
            raise typer.BadParameter(f"{name} needs --records FOLDER, the records of its suite")
        paths = strength.draw(list(Records(records).all()), folder)
    for path in paths:
        typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
