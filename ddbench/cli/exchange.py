"""Distilled sets in and out: `import` and `export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchError, format_count
from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    PixelsOption,
    SetDatasetOption,
    format_names,
    said,
)

if TYPE_CHECKING:
    from ddbench.api.distilled_set import PortableSet
    from ddbench.api.record import Record
    from ddbench.api.roles import SetFormat
    from ddbench.registry import Registry

OWN = "ddbench"
"""The format of sets that are imported, and of exports unless another is named."""


def import_(
    path: Annotated[Path, typer.Argument(help="A file or folder of another program.")],
    folder: Annotated[
        Path | None,
        typer.Argument(help="A new folder for the set.", show_default="./NAME-imported"),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="Of the set, if it is not recognised; `ddbench list formats`.",
            autocompletion=format_names, show_default=False,
        ),
    ] = "",
    dataset: SetDatasetOption = None,
    pixels: PixelsOption = None,
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="What distilled it, for tables.")
    ] = None,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:  # fmt: skip
    """Turn a distilled set of another program into ddbench's own: tensors and a card.

    Nothing that the files hold is ever executed. Tensors are kept as they are, and the card says
    what they are; `ddbench eval` takes the new folder, and takes the files themselves as well.
    """
    from ddbench.config.session import open_session
    from ddbench.config.terms import choose_part
    from ddbench.data.exchange import Answers, placed, read_set, write_set

    answers = Answers(
        dataset=said(dataset, "--dataset"), pixels=said(pixels, "--pixels"),
        method=said(method, "--method"),
    )  # fmt: skip
    session = open_session("cpu", "fp32", data_root, cache)
    found = read_set(path, choose_format(path, format_, session.registry, "--format"))
    found = placed(found, answers, session.registry, session.ctx.data_root, path)
    target = folder or Path(f"{path.resolve().stem}-imported")
    write_set(choose_part("format", "--format", OWN, session.registry)[1], found, target)
    typer.echo(f"wrote {_told(found)} to {target}")
    names = ("dataset", "method", "student", "labels")
    typer.echo("  " + ", ".join(f"{name} {found.card.get(name) or 'unsaid'}" for name in names))
    if found.pixels == "unknown":
        typer.echo("  nobody said what the floats are: import again with --pixels, before eval")


def export(
    run: Annotated[
        str, typer.Argument(help="A record (its key, the start of it, its file) or a set's path.")
    ],
    folder: Annotated[Path, typer.Argument(help="A new folder, or file, for the distilled set.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="Of what is written; `ddbench list formats` names them.",
            autocompletion=format_names,
        ),
    ] = OWN,
    layout: Annotated[
        str,
        typer.Option(
            "--layout", help="Format of a set that is read from a path, if it is not recognised.",
            autocompletion=format_names, show_default=False,
        ),
    ] = "",
    images: Annotated[
        bool,
        typer.Option("--images/--no-images", help="PNG files as well, in the format ddbench."),
    ] = True,
    views: Annotated[
        bool,
        typer.Option("--views/--no-views", help="Labels that were stored for views, if any."),
    ] = True,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:  # fmt: skip
    """Write the distilled set of a finished run, or one that lies somewhere, in any format.

    What a format of another program has no place for goes into a file or field of ddbench's beside
    it, so that the set can be read again exactly; what it cannot hold at all is refused.
    """
    from ddbench.config.terms import choose_part
    from ddbench.data.exchange import read_set, write_set
    from ddbench.registry import load

    registry = load()
    name, form = choose_part("format", "--format", format_, registry)
    path = Path(run)
    if path.exists() and path.suffix != ".json":
        found = read_set(path, choose_format(path, layout, registry, "--layout"))
        found = found if views else replace(found, views=None)
    else:
        found = _recorded(run, data_root, cache, registry, views)

    def pictures(draft: Path) -> None:
        from ddbench.reporting.images import as_bytes, write_class_folders, write_grid

        shown = as_bytes(found.images)
        write_class_folders(draft / "images", shown, found.labels, found.card["classes"])
        write_grid(draft / "grid.png", shown, found.labels)

    seen = images and name == OWN and found.pixels in ("bytes", "unit")
    write_set(form, found, folder, pictures if seen else None)
    typer.echo(f"wrote {_told(found)} to {folder}")


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


def _told(found: PortableSet) -> str:
    kept = [f"{format_count(len(found.labels), 'image')} ({found.pixels})"]
    if found.soft_labels is not None:
        kept.append("learned labels")
    if found.views is not None:
        kept.append(f"labels of {len(found.views.logits)} epochs of views")
    if found.rate is not None:
        kept.append(f"learned step size {found.rate:g}")
    return ", ".join(kept)


def _recorded(
    run: str, data_root: Path | None, cache: Path | None, registry: Registry, views: bool
) -> PortableSet:
    """The distilled set of a record, from the cache, with its stored views if they are wanted."""
    import torch

    from ddbench.api.distilled_set import PortableSet
    from ddbench.cli.inspect import find_record
    from ddbench.reporting.images import stored_images
    from ddbench.reporting.reproduce.views import stored_views
    from ddbench.store.cache import Cache, find_cache

    record, store = find_record(run, cache), Cache(find_cache(cache))
    tensors = stored_images(record, store, data_root)
    if tensors is None:
        raise DDBenchError(
            f"the images of {record.file_name} are no longer in the cache",
            hint=f"make them again: {record.command or '`ddbench run`'}",
        )
    told = record.configuration
    mean, std = (tuple(told.get(name, ())) for name in ("mean", "std"))
    return PortableSet(
        images=tensors["images"],
        labels=tensors["labels"],
        weights=tensors["weights"],
        pixels="bytes" if tensors["images"].dtype == torch.uint8 else "unit",
        mean=mean,
        std=std,
        views=stored_views(record, tensors, store, registry) if views else None,
        card=_card(record, record.keys["recover"][0]),
    )


def _card(record: Record, artifact: str) -> dict[str, Any]:
    return {
        "method": record.method, "title": record.title, "variant": record.variant,
        "dataset": record.dataset, "ipc": record.ipc, "teacher": record.teacher,
        "student": record.student, "labels": record.labels, "protocol": record.protocol,
        "seed": record.seed, "given": record.given, "classes": record.configuration["classes"],
        "profile": record.profile, "shape": record.configuration["shape"],
        "configuration": record.configuration, "metrics": record.metrics,
        "artifact": artifact, "environment": record.environment,
    }  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command()(export)
