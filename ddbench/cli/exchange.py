"""`ddbench import` and `ddbench export`: distilled sets in and out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    LayoutOption,
    PixelsOption,
    complete_formats,
    refuse_empty,
)

if TYPE_CHECKING:
    from ddbench.api.distilled_set import PortableSet
    from ddbench.api.record import Record
    from ddbench.api.roles import SetFormat
    from ddbench.registry import Registry

OWN = "ddbench"
"""ddbench's own format: of sets that are imported, and of exports unless another is named."""


def import_(
    path: Annotated[Path, typer.Argument(help="A distilled set that another program wrote.")],
    folder: Annotated[
        Path | None,
        typer.Argument(help="A new folder for the set.", show_default="./NAME-imported"),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="Format of the set, if it is not recognised; see `ddbench list formats`.",
            autocompletion=complete_formats,
            show_default=False,
        ),
    ] = "",
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="The data set that was distilled, if the set does not name it.",
            callback=refuse_empty,
        ),
    ] = None,
    pixels: PixelsOption = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="The method's name in tables.", callback=refuse_empty),
    ] = None,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Turn a distilled set of another program into ddbench's own: tensors and a card.

    Nothing in the files is ever executed. Tensors are kept as they are, and the card describes
    them. `ddbench eval` takes the new folder, or the files themselves.
    """
    from ddbench.config.session import open_session
    from ddbench.data.exchange import SetFacts, identify_set, read_set, write_set

    facts = SetFacts(dataset=dataset or "", pixels=pixels or "", method=method or "")
    session = open_session("cpu", "fp32", data_root, cache)
    distilled = read_set(path, choose_format(path, format_, session.registry, "--format"))
    distilled = identify_set(distilled, facts, session.registry, session.ctx.data_root, path)
    target = folder or Path(f"{path.resolve().stem}-imported")
    write_set(session.registry.get("format", OWN), distilled, target)
    typer.echo(f"wrote {_describe(distilled)} to {target}")
    card = distilled.card
    names = ("dataset", "method", "student", "labels")
    typer.echo("  " + ", ".join(f"{name} {card.get(name) or 'unknown'}" for name in names))
    if distilled.pixels == "unknown":
        typer.echo("  what its floats are is not known: import it again with --pixels, before eval")


def export(
    run: Annotated[
        str, typer.Argument(help="A record (its key, the start of it, its file), or a set's path.")
    ],
    folder: Annotated[Path, typer.Argument(help="A new folder, or file, for the distilled set.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="Format to write; see `ddbench list formats`.",
            autocompletion=complete_formats,
        ),
    ] = OWN,
    layout: LayoutOption = "",
    images: Annotated[
        bool,
        typer.Option(
            "--images/--no-images", help="Write PNG files too, if the format is ddbench's own."
        ),
    ] = True,
    views: Annotated[
        bool,
        typer.Option("--views/--no-views", help="Write labels that were stored for views, if any."),
    ] = True,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Write the distilled set of a finished run, or one read from a path, in any format.

    What a format of another program has no place for goes into a file or field beside it, so that
    the set can be read again exactly. What it cannot hold at all is refused.
    """
    from ddbench.config.terms import choose_part
    from ddbench.data.exchange import read_set, write_set
    from ddbench.registry import load

    registry = load()
    name, form = choose_part("format", "--format", format_, registry)
    path = Path(run)
    if path.exists() and path.suffix != ".json":
        distilled = read_set(path, choose_format(path, layout, registry, "--layout"))
        distilled = distilled if views else replace(distilled, views=None)
    else:
        distilled = _read_cached(run, data_root, cache, registry, views)
    shown = images and name == OWN and distilled.pixels in ("bytes", "unit")
    write_set(form, distilled, folder, partial(_write_images, distilled) if shown else None)
    typer.echo(f"wrote {_describe(distilled)} to {folder}")


def _write_images(distilled: PortableSet, folder: Path) -> None:
    """Writes the images as files, by class, and as a grid."""
    from ddbench.reporting.images import to_bytes, write_class_folders, write_grid

    images = to_bytes(distilled.images)
    classes = distilled.card["classes"]
    write_class_folders(folder / "images", images, distilled.labels, classes)
    write_grid(folder / "grid.png", images, distilled.labels)


def choose_format(path: Path, text: str, registry: Registry, flag: str) -> SetFormat:
    """Returns the format that a flag names, or, where it is not given, the one recognised.

    Raises:
        DDBenchError: no such format or option of it, or the path looks like none or several.
    """
    from ddbench.config.terms import choose_part
    from ddbench.data.exchange import recognise_format

    if text:
        return choose_part("format", flag, text, registry)[1]
    return recognise_format(path, registry, flag)


def _describe(distilled: PortableSet) -> str:
    """Says in a line what a set holds."""
    contents = [f"{format_count(len(distilled.labels), 'image')} ({distilled.pixels})"]
    if distilled.soft_labels is not None:
        contents.append("learned labels")
    if distilled.views is not None:
        contents.append(f"labels of {len(distilled.views.logits)} epochs of views")
    if distilled.rate is not None:
        contents.append(f"learned step size {distilled.rate:g}")
    return ", ".join(contents)


def _read_cached(
    run: str, data_root: Path | None, cache: Path | None, registry: Registry, views: bool
) -> PortableSet:
    """Reads the distilled set of a record from the cache, with its stored views if wanted."""
    import torch

    from ddbench.api.distilled_set import PortableSet
    from ddbench.cli.records import find_record
    from ddbench.reporting.images import load_images
    from ddbench.reporting.reproduce.views import redraw_views
    from ddbench.store.cache import Cache, find_cache

    record, store = find_record(run, cache), Cache(find_cache(cache))
    distilled = load_images(record, store, data_root)
    if distilled is None:
        raise DDBenchError(
            f"the images of {record.file_name} are no longer in the cache",
            hint=f"make them again: {record.command or '`ddbench run`'}",
        )
    mean, std = (tuple(record.configuration.get(name, ())) for name in ("mean", "std"))
    return PortableSet(
        images=distilled.pixels,
        labels=distilled.labels,
        weights=distilled.weights,
        pixels="bytes" if distilled.pixels.dtype == torch.uint8 else "unit",
        mean=mean,
        std=std,
        soft_labels=distilled.soft_labels,
        rate=distilled.learned_rate,
        views=redraw_views(record, distilled, store, registry) if views else None,
        card=_make_card(record),
    )


def _make_card(record: Record) -> dict[str, Any]:
    """Returns what the card of an exported set says of the run that made it."""
    names = (
        "method",
        "title",
        "variant",
        "dataset",
        "ipc",
        "teacher",
        "student",
        "labels",
        "protocol",
        "seed",
        "given",
        "profile",
        "configuration",
        "metrics",
        "environment",
    )
    card = {name: getattr(record, name) for name in names}
    configuration = record.configuration
    card |= {"classes": configuration["classes"], "shape": configuration["shape"]}
    return {**card, "artifact": record.keys["recover"][0]}
