"""Commands on one distilled set: `eval` and `export`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    DeviceOption,
    FormatOption,
    PrecisionOption,
    checked_format,
    split,
)
from ddbench.errors import DDBenchError

if TYPE_CHECKING:
    from ddbench.plan import Plan
    from ddbench.session import Session


def eval_(
    path: Annotated[Path, typer.Argument(help="A distilled set: a folder with a card.")],
    arch: Annotated[
        str | None, typer.Option("--arch", "-a", help="Students instead of the card's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Instead of the card's.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", "-l", help="A labeller instead of the card's.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Instead of the card's.")
    ] = None,
    evaluator: Annotated[
        str | None, typer.Option("--evaluator", "-e", help="Metrics besides accuracy.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many students.", min=1)] = 3,
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Reference rows beside it.")
    ] = False,
    format_: FormatOption = "terminal",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Train students on a stored distilled set and judge them."""
    from ddbench.cli.inspect import print_tables
    from ddbench.cli.run import shown_progress
    from ddbench.distilled import read_distilled
    from ddbench.execute import execute
    from ddbench.session import open_session

    checked_format(format_)
    stored, card = read_distilled(path)
    with shown_progress() as progress:
        session = open_session(device, precision, data_root, cache, progress)
        evaluators = session.evaluators(split(evaluator))
        flags = {
            "dataset": dataset or card["dataset"],
            "arch": split(arch) or [card["student"]],
            "labels": [labels or card["labels"]],
            "protocol": protocol or card.get("protocol", "ddbench-v1"),
            "teacher": [card["teacher"]],
            "seed": card.get("seed", 0),
            "seeds": seeds,
            "reference": reference,
            "set": _still_given(card, {"student": arch, "evaluate": protocol, "relabel": labels}),
        }
        plans = _plans(session, stored, card, flags, evaluators)
        command = shlex.join(["ddbench", *sys.argv[1:]])
        outcome = execute(
            plans, evaluators, session.registry, session.cache(), session.ctx, command
        )
    print_tables(outcome.records, format_, f"{path}")
    for record in outcome.failed:
        typer.echo(f"failed ({record.status}): {record.reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _still_given(card: dict[str, Any], instead: dict[str, str | None]) -> dict[str, str]:
    """Options that the run was given and that bear on evaluation, but for those of a part that is
    exchanged for another one here."""
    roots = {"squeeze", "teacher", *(root for root, other in instead.items() if not other)}
    given = card.get("given", {})
    return {path: text for path, text in given.items() if path.partition(".")[0] in roots}


def _plans(
    session: Session, stored: Any, card: dict[str, Any], flags: dict[str, Any], evaluators: Any
) -> list[Plan]:
    """The method's own cells with the stored images in the place of distillation."""
    from ddbench.data import describe
    from ddbench.distilled import check_classes
    from ddbench.execute import wanted_statistics
    from ddbench.grid import named_dataset
    from ddbench.plan import plan
    from ddbench.suites import read_suite

    info = describe(named_dataset(flags["dataset"], session.registry), session.ctx.data_root)
    check_classes(card, info)
    known = card["method"] in session.registry.names("recipe")
    ipc = max(stored.per_class)
    method = card["method"] if known else "random"
    table = read_suite(None, "", {**flags, "method": [method], "ipc": [ipc]})
    found = []
    for made in session.plans(table, evaluators):
        cell = made.cell
        if cell.method == method:
            recipe = replace(
                cell.recipe, distiller=stored, matchers=(), regularizers=(), baseline=False,
                name=card["method"], title=card.get("title", card["method"]),
            )  # fmt: skip
            cell = replace(cell, recipe=recipe, method=card.get("variant") or card["method"])
        found.append(plan(cell, info, wanted_statistics(evaluators)))
    return found


def export(
    run: Annotated[str, typer.Argument(help="A record: its key, the start of it, or its file.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the distilled set.")],
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="PNG files in class folders as well.")
    ] = True,
    data_root: DataRootOption = None,
    cache: CacheOption = None,
) -> None:
    """Write the distilled set of a finished run: tensors, a card, and images to look at."""
    from ddbench.cache import Cache, default_cache
    from ddbench.cli.inspect import find_record
    from ddbench.distilled import write_distilled
    from ddbench.pictures import as_bytes, write_class_folders, write_grid
    from ddbench.stored_images import stored_images

    record = find_record(run, cache)
    tensors = stored_images(record, Cache(default_cache(cache)), data_root)
    if tensors is None:
        raise DDBenchError(
            f"the images of {record.file_name} are no longer in the cache",
            hint=f"make them again: {record.command or '`ddbench run`'}",
        )
    card = {
        "method": record.method, "title": record.title, "variant": record.variant,
        "dataset": record.dataset, "ipc": record.ipc, "teacher": record.teacher,
        "student": record.student, "labels": record.labels, "protocol": record.protocol,
        "seed": record.seed, "given": record.given, "classes": record.configuration["classes"],
        "shape": record.configuration["shape"], "configuration": record.configuration,
        "metrics": record.metrics, "artifact": record.keys["recover"][0],
        "environment": record.environment,
    }  # fmt: skip
    write_distilled(folder, tensors["images"], tensors["labels"], tensors["weights"], card)
    if images:
        shown = as_bytes(tensors["images"])
        write_class_folders(folder / "images", shown, tensors["labels"], card["classes"])
        write_grid(folder / "grid.png", shown, tensors["labels"])
    typer.echo(f"wrote {len(tensors['labels'])} images to {folder}")


def register(app: typer.Typer) -> None:
    app.command("eval")(eval_)
    app.command()(export)
