"""`ddbench data`: describes a data set, checks it, and decodes it ahead."""

from __future__ import annotations

from typing import Annotated

import typer

from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import make_table, show_progress

app = typer.Typer(help="Data sets: info, prepare, verify.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="NAME, NAME@PIXELS or folder:PATH.")]


@app.command()
def info(name: NameArgument, data_root: DataRootOption = None) -> None:
    """Show shape, number of images, and the classes in the order of their indices."""
    from rich.console import Console
    from rich.markup import escape

    from ddbench.data.description import describe, find_dataset
    from ddbench.registry import load
    from ddbench.runtime.context import find_data_root

    data = describe(find_dataset(name, load()), find_data_root(data_root))
    channels, height, width = data.shape
    typer.echo(f"{data.name}: {data.num_classes} classes, {channels} x {height} x {width}")
    typer.echo(f"{sum(data.train_counts)} training and {sum(data.test_counts)} test images")
    typer.echo(f"mirrored images keep their class: {'yes' if data.mirror else 'no'}")
    typer.echo(f"fingerprint {data.fingerprint}")
    right = ("index", "train", "test")
    view = make_table("index", "class", "title", "train", "test", right=right)
    titles = data.titles or ("",) * data.num_classes
    for index, row in enumerate(
        zip(data.classes, titles, data.train_counts, data.test_counts, strict=True)
    ):
        view.add_row(str(index), *(escape(str(value)) for value in row))
    Console().print(view)


@app.command()
def prepare(
    name: NameArgument,
    download: Annotated[
        bool, typer.Option("--download", help="Download it, where its source allows that.")
    ] = False,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Bring a data set into place and decode it into the cache."""
    from ddbench.config.session import open_session
    from ddbench.data.description import find_dataset
    from ddbench.data.real import open_data

    with show_progress() as progress:
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
    """Compare a data set with what it should be. Exit code 1 if it differs."""
    from ddbench.data.description import describe, find_dataset
    from ddbench.registry import load
    from ddbench.runtime.context import find_data_root

    root = find_data_root(data_root)
    named = find_dataset(name, load())
    info = describe(named, root)
    problems = named.part.verify(root)
    for problem in problems:
        typer.echo(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)
    counts = f"{sum(info.train_counts)} + {sum(info.test_counts)} images"
    typer.echo(f"{info.name} is right: {info.num_classes} classes, {counts}")
