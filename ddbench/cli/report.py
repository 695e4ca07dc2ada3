"""Commands that publish records: `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import check_file, explained, made_folder, write_file

if TYPE_CHECKING:
    from ddbench.api.record import Record

RecordsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--records",
        help="A folder of records, or of folders with records, instead of the cache's; may be "
        "repeated.",
    ),
]


def report(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.")
    ] = Path("report.html"),
    records: RecordsOption = None,
    title: Annotated[str, typer.Option("--title", help="Of the page.")] = "",
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Grids of the distilled images.")
    ] = True,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="A folder for the plots as SVG and PDF.")
    ] = None,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:  # fmt: skip
    """Write one HTML page of finished records: leaderboard, claims, plots, images. No network."""
    from ddbench.reporting.report import make_page, to_html
    from ddbench.store.cache import Cache, find_cache

    found = _found(records, cache)
    check_file(output, "-o report.html")
    if figures is not None:
        made_folder(figures)
    root = find_cache(cache)
    # Records may come from elsewhere: a cache that is not there is not made for its images.
    store = Cache(root) if images and (root / "artifacts").is_dir() else None
    page = make_page(found, store, data_root, title)
    text = to_html(page)
    write_file(output, text)
    told = (
        f"{format_count(len(page.rows), 'row')}, {format_count(len(page.pictures), 'picture')}, "
        f"{len(text.encode()) / 1e6:.1f} MB"
    )
    typer.echo(f"wrote {output}: {told}")
    for line in page.missing:
        typer.echo(line, err=True)
    if figures is not None:
        from ddbench.reporting.report.figures import write_figures

        with explained(figures):
            drawn = write_figures((*page.plots, *page.learning_curves), figures)
        typer.echo(f"wrote {format_count(len(drawn), 'figure')} to {figures}")


def _found(folders: list[Path] | None, cache: Path | None) -> list[tuple[Path | None, Record]]:
    """Records with their files; those of the cache without.

    Raises:
        DDBenchError: no such folder, or nothing in it.
    """
    from ddbench.store.cache import find_cache
    from ddbench.store.records import read_folder

    looked: list[Path] = folders or [find_cache(cache) / "records"]
    found: list[tuple[Path | None, Record]] = []
    for folder in looked:
        if folders and not folder.is_dir():
            raise DDBenchError(f"no folder {folder}", hint="name a folder of record files")
        found += [(path if folders else None, record) for path, record in read_folder(folder)]
    if not found:
        raise DDBenchError(
            "no records to report", f"looked in {', '.join(map(str, looked))}",
            hint="run something first: `ddbench run`",
        )  # fmt: skip
    return found


def register(app: typer.Typer) -> None:
    app.command()(report)
