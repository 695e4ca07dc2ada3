"""`ddbench data`: what a data set holds, whether it is right, and decoding it ahead."""

from __future__ import annotations

from typing import Annotated

import typer

from ddbench.cli.options import CacheOption, DataRootOption

app = typer.Typer(help="Data sets: info, prepare, verify.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="NAME, NAME@PIXELS or folder:PATH.")]


@app.command()
def info(name: NameArgument, data_root: DataRootOption = None) -> None:
    """Classes in index order, counts, shape."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ddbench.data.description import describe, find_dataset
    from ddbench.registry import load
    from ddbench.runtime.context import find_data_root

    found = describe(find_dataset(name, load()), find_data_root(data_root))
    channels, height, width = found.shape
    typer.echo(f"{found.name}: {found.num_classes} classes, {channels} x {height} x {width}")
    typer.echo(f"{sum(found.train_counts)} training and {sum(found.test_counts)} test images")
    typer.echo(f"mirrored images keep their class: {'yes' if found.mirror else 'no'}")
    typer.echo(f"fingerprint {found.fingerprint}")
    view = Table(box=None, pad_edge=False)
    for column in ("index", "class", "title", "train", "test"):
        view.add_column(column, justify="right" if column in ("index", "train", "test") else "left")
    titles = found.titles or ("",) * found.num_classes
    for index, row in enumerate(
        zip(found.classes, titles, found.train_counts, found.test_counts, strict=True)
    ):
        view.add_row(str(index), *(escape(str(value)) for value in row))
    Console().print(view)


@app.command()
def prepare(
    name: NameArgument,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch it, where its source allows.")
    ] = False,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Bring a data set into place and decode it into the cache."""
    from ddbench.cli.run import shown_progress
    from ddbench.config.session import open_session
    from ddbench.data.description import find_dataset
    from ddbench.data.real import open_data

    with shown_progress() as progress:
        session = open_session("cpu", "fp32", data_root, cache, progress)
        named = find_dataset(name, session.registry)
        for note in named.part.prepare(session.ctx.data_root, download):
            typer.echo(note)
        data = open_data(named, session.ctx, session.cache())
    typer.echo(
        f"{data.info.name} is ready: {len(data.train_labels)} training and "
        f"{len(data.test_labels)} test images"
    )


@app.command()
def verify(name: NameArgument, data_root: DataRootOption = None) -> None:
    """Compare a data set with what it should be; exit code 1 if it differs."""
    from ddbench.data.description import describe, find_dataset
    from ddbench.registry import load
    from ddbench.runtime.context import find_data_root

    root = find_data_root(data_root)
    named = find_dataset(name, load())
    found = describe(named, root)
    problems = named.part.verify(root)
    for problem in problems:
        typer.echo(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{found.name} is right: {found.num_classes} classes, "
               f"{sum(found.train_counts)} + {sum(found.test_counts)} images")  # fmt: skip
