"""Commands for plug-in authors: `new` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    kind: Annotated[str, typer.Argument(help="evaluator, matcher, regularizer, …")],
    name: Annotated[str, typer.Argument(help="Of the part, in lower_snake_case.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Where the package folder is made.")
    ] = Path(),
) -> None:
    """Write a plug-in package that installs and passes `ddbench check`."""
    from ddbench.cli.scaffold import write_package

    made = write_package(kind, name, folder)
    typer.echo(f"wrote {made}")
    typer.echo(f"next: pip install -e {made} && ddbench check {made.name}")


def check(
    package: Annotated[str, typer.Argument(help="A distribution or module that is installed.")],
) -> None:
    """Run the conformance suite over the parts of a package."""
    from ddbench.registry import load
    from ddbench.testing import check_plugin

    report = check_plugin(package, load())
    typer.echo(str(report))
    raise typer.Exit(0 if report.ok else 1)


def register(app: typer.Typer) -> None:
    app.command()(new)
    app.command()(check)
