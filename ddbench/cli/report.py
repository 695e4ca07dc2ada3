"""`ddbench report`: one HTML page of finished records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import CacheOption, DataRootOption
from ddbench.cli.outputs import check_file, explain_faults, make_folder, write_file
from ddbench.cli.records import find_folders

if TYPE_CHECKING:
    from ddbench.api.record import Record


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "report.html"
    ),
    records: Annotated[
        list[Path] | None,
        typer.Option(
            "--records",
            help="A folder of records, or of folders with records, instead of the cache's; may be "
            "repeated.",
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Title of the page.")] = "",
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Show grids of the distilled images.")
    ] = True,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", help="Also write the plots into this folder, as SVG and PDF."),
    ] = None,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Write one HTML page of finished records: leaderboard, claims, plots, images. No network."""
    from ddbench.reporting.report import make_page, to_html
    from ddbench.store.cache import Cache, find_cache

    rows = _read_records(records or [], cache)
    check_file(output, "-o report.html")
    if figures is not None:
        make_folder(figures)
    root = find_cache(cache)
    # Records may come from elsewhere: a cache that is not there is not made for its images.
    store = Cache(root) if images and (root / "artifacts").is_dir() else None
    page = make_page(rows, store, data_root, title)
    text = to_html(page)
    write_file(output, text)
    counts = f"{format_count(len(page.rows), 'row')}, {format_count(len(page.pictures), 'picture')}"
    typer.echo(f"wrote {output}: {counts}, {len(text.encode()) / 1e6:.1f} MB")
    for line in page.missing:
        typer.echo(line, err=True)
    if figures is not None:
        from ddbench.reporting.report.figures import write_figures

        with explain_faults(figures):
            files = write_figures((*page.plots, *page.learning_curves), figures)
        typer.echo(f"wrote {format_count(len(files), 'figure')} to {figures}")


def _read_records(given: list[Path], cache: Path | None) -> list[tuple[Path | None, Record]]:
    """Reads records with their files; those of the cache without.

    Raises:
        DDBenchError: no such folder, or nothing in it.
    """
    from ddbench.store.records import read_folder

    folders = find_folders(given, cache)
    records = [pair for folder in folders for pair in read_folder(folder)]
    if not records:
        raise DDBenchError(
            "no records to report",
            f"looked in {', '.join(map(str, folders))}",
            hint="run something first: `ddbench run`",
        )
    return [(path if given else None, record) for path, record in records]
