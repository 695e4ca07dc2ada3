"""Commands for plug-in authors: `new` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[str, typer.Argument(help="Kind of the part: evaluator, matcher, …")],
    name: Annotated[str, typer.Argument(help="Name of the part, in lower_snake_case.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder in which the package is made.")
    ] = Path(),
) -> None:
    """Write a plug-in package that installs and passes `ddbench check`."""
    from ddbench.cli.scaffold import write_package

    package = write_package(kind, name, folder)
    typer.echo(f"wrote {package}")
    typer.echo(f"next: pip install -e {package} && ddbench check {package.name}")


def check(
    package: Annotated[str, typer.Argument(help="An installed distribution or module.")],
) -> None:
    """Run the conformance suite over the parts of a package."""
    from ddbench.registry import load
    from ddbench.testing import check_plugin

    report = check_plugin(package, load())
    typer.echo(str(report))
    raise typer.Exit(0 if report.ok else 1)
