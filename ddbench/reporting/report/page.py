"""The page: its contents and its HTML. Everything that comes from a record is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddbench import __version__
from ddbench.api.record import Record
from ddbench.reporting import render
from ddbench.reporting.report.drawing import draw_plot
from ddbench.reporting.report.learning_curves import plot_learning_curves
from ddbench.reporting.report.plots import Plot, make_plots
from ddbench.reporting.report.rows import FACETS, ReportRow, make_rows
from ddbench.reporting.tables import choose_views
from ddbench.reporting.tables.aggregate import gather
from ddbench.reporting.tables.formatting import format_mark, format_marks
from ddbench.reporting.tables.leaderboard import make_leaderboard
from ddbench.reporting.tables.row_names import label_entries
from ddbench.reporting.tables.views import View
from ddbench.store.records import format_now

if TYPE_CHECKING:
    from ddbench.reporting.report.images import Picture
    from ddbench.store.cache import Cache

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The contents of the page."""

    title: str
    made: str
    records: int
    rows: tuple[ReportRow, ...]
    choices: Mapping[str, tuple[str, ...]]
    """Values of every facet, in their order."""
    constant: Mapping[str, str]
    """Facets that are the same for all rows."""
    varying: tuple[str, ...]
    """Facets that tell rows apart, and so have a column."""
    several_datasets: bool
    views: tuple[View, ...]
    """Tables beside the leaderboard."""
    board: View
    complete: View
    """The leaderboard with every metric, for programs."""
    plots: tuple[Plot, ...]
    learning_curves: tuple[Plot, ...]
    pictures: tuple[Picture, ...]
    missing: tuple[str, ...]
    """Sentences on pictures that are not there."""

    @property
    def claims(self) -> list[ReportRow]:
        """Rows with a published figure."""
        return [row for row in self.rows if row.claim is not None and row.summary is not None]


def make_page(
    records: Sequence[tuple[Path | None, Record]],
    store: Cache | None = None,
    data_root: Path | None = None,
    title: str = "",
) -> Page:
    """Makes the contents of the page.

    Args:
        records: At least one, each with its file; None in its place for a record of the cache.
        store: Where the images are; None for a page without pictures.
        data_root: For images of methods that select real ones.
        title: Title instead of `Dataset distillation on …`.
    """
    own = [record for _, record in records]
    entries = label_entries(gather(own))
    rows = make_rows(entries, {record.key: path for path, record in records})
    values = {name: _list_values(rows, name) for name in FACETS}
    # IPC and method are always shown; the rest where it tells rows apart.
    varying = tuple(n for n in FACETS[3:] if len(values[n]) > 1)
    several = len(values["data set"]) > 1
    same = [n for n in FACETS[3:] if n not in varying]
    if title and not several:  # else the title names it
        same.insert(0, "data set")
    pictures: list[Picture] = []
    missing: list[str] = []
    if store is not None:
        # Imports torch, which a page without pictures has no need of.
        from ddbench.reporting.report.images import make_pictures

        pictures, missing = make_pictures(rows, store, data_root)
    board, *views = choose_views(own)
    names = ", ".join(values["data set"])
    return Page(
        title=title or f"Dataset distillation on {names}",
        made=format_now(),
        records=len(own),
        rows=tuple(rows),
        choices=values,
        constant={n: values[n][0] for n in same},
        varying=varying,
        several_datasets=several,
        board=board,
        complete=make_leaderboard(entries, None),
        views=tuple(views),
        plots=tuple(make_plots(rows)),
        learning_curves=tuple(plot_learning_curves(rows)),
        pictures=tuple(pictures),
        missing=tuple(missing),
    )


def _list_values(rows: Sequence[ReportRow], name: str) -> tuple[str, ...]:
    shown = {row.facets[name].text: row.facets[name].value for row in rows}
    return tuple(sorted(shown, key=lambda text: (shown[text], text)))


def to_html(page: Page) -> str:
    """Writes the page as one file: no address in it is ever loaded, and its policy forbids it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        mark=format_mark,
        marks=format_marks,
        drawing=draw_plot,
        csv_address=lambda view: _make_address("text/csv", render.to_csv(view)),
        latex_address=lambda view: _make_address("text/x-tex", render.to_latex(view)),
    )
    # Files of this package, not of a record: the only text that is not escaped.
    script = (TEMPLATES / "page.js").read_text()
    style = (TEMPLATES / "page.css").read_text()
    known: dict[str, Any] = {
        "page": page,
        "script": Markup(script),
        "style": Markup(style),
        "script_hash": _hash(script),
        "style_hash": _hash(style),
        "version": __version__,
        "picture_of": {picture.row for picture in page.pictures},
    }
    return environment.get_template("page.html").render(known)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _make_address(kind: str, text: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
