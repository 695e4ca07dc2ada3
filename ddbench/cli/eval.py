"""The command on one distilled set: `eval`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddbench.api.errors import DDBenchError
from ddbench.cli.options import (
    CacheOption,
    DataRootOption,
    DeviceOption,
    FormatOption,
    PixelsOption,
    PrecisionOption,
    checked_format,
    format_names,
    said,
    split,
)

if TYPE_CHECKING:
    from ddbench.api.distilled_set import PortableSet
    from ddbench.api.roles import Labeller
    from ddbench.config.session import Session
    from ddbench.data.stored_set import StoredSet
    from ddbench.pipeline.plan import Plan

STORED = "stored"
"""As `--labels`: those that came with the set, learned or stored for its views."""


def eval_(
    path: Annotated[Path, typer.Argument(help="A distilled set in any of `ddbench list formats`.")],
    arch: Annotated[
        str | None, typer.Option("--arch", "-a", help="Students instead of the card's.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Instead of the card's.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", "-l",
            help="A labeller; 'stored': labels that came with the set, learned or of views (FKD).",
        ),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="The network that labels, if not the card's.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Instead of the card's.")
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--layout", help="Format of the set, if it is not recognised.", show_default=False,
            autocompletion=format_names,
        ),
    ] = "",
    pixels: PixelsOption = None,
    learned_rate: Annotated[
        bool, typer.Option("--learned-rate", help="Students learn at the set's own step size.")
    ] = False,
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
) -> None:  # fmt: skip
    """Train students on a stored distilled set and judge them.

    A set says itself what it is of, in its card or its layout; what it does not say is asked for.
    """
    from ddbench.cli.exchange import choose_format
    from ddbench.cli.run import shown_progress
    from ddbench.cli.table import print_tables
    from ddbench.config.session import open_session
    from ddbench.data.exchange import Answers, placed, read_set
    from ddbench.data.stored_set import Replayed
    from ddbench.pipeline.execute import execute

    checked_format(format_)
    given = {
        "student": said(arch, "--arch"),
        "labels": said(labels, "--labels"),
        "teacher": said(teacher, "--teacher"),
        "protocol": said(protocol, "--protocol"),
    }
    answers = Answers(dataset=said(dataset, "--dataset"), pixels=said(pixels, "--pixels"))
    wanted = split(evaluator, "--evaluator")
    with shown_progress() as progress:
        session = open_session(device, precision, data_root, cache, progress)
        evaluators = session.evaluators(wanted)
        found = read_set(path, choose_format(path, layout, session.registry, "--layout"))
        found = placed(found, answers, session.registry, session.ctx.data_root, path)
        flags = _flags(found, given, path)
        flags |= {"seeds": seeds, "reference": reference}
        if learned_rate:
            flags["set"]["evaluate.lr"] = _rate(found, path)
        if found.pixels == "whitened":  # test images have to be whitened alike
            flags["set"]["evaluate.zca"] = repr(found.card["zca"])
        plans = _plans(session, found, flags, evaluators)
        if teacher:
            _report_unread(teacher, plans)
        if plans and isinstance(plans[0].cell.recipe.labeller, Replayed):
            typer.echo(
                f"students see {len(found.views.logits)} stored epochs of views, in batches of "
                f"{found.views.batches[0]}, instead of the protocol's augmentation", err=True,
            )  # fmt: skip
        command = shlex.join(["ddbench", *sys.argv[1:]])
        outcome = execute(
            plans, evaluators, session.registry, session.cache(), session.ctx, command
        )
    asked = {metric.name for part in evaluators.values() for metric in part.metrics}
    print_tables(outcome.records, format_, f"{path}", asked=asked)
    for record in outcome.failed:
        typer.echo(f"failed ({record.status}): {record.reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _flags(found: PortableSet, given: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What decides the cells: as the user says, else as the set says.

    Raises:
        DDBenchError: neither says it.
    """
    card = found.card
    learned = STORED if found.soft_labels is not None else None
    replays = STORED if found.views is not None else None
    students = split(given["student"] or card.get("student"))
    labels = given["labels"] or replays or card.get("labels") or learned
    if not students:
        raise _unsaid(path, "which network its students are", "--arch resnet18, say")
    if not labels:
        raise _unsaid(path, "how its images are labelled", "--labels hard, or fkd with --teacher")
    if labels == STORED and not (learned or replays):
        raise DDBenchError(
            f"{path} holds no labels: no learned ones, and none that a teacher gave to its views",
            hint="--labels hard, or fkd with --teacher",
        )
    other = given["labels"] if labels != STORED or learned else ""
    instead = {"student": given["student"], "evaluate": given["protocol"],
               "relabel": other, "teacher": given["teacher"]}  # fmt: skip
    return {
        "dataset": card["dataset"],
        "arch": students,
        "labels": [labels],
        "protocol": given["protocol"] or card.get("protocol", "ddbench-v1"),
        "teacher": [given["teacher"] or card.get("teacher") or students[0]],
        "seed": card.get("seed", 0),
        "set": _still_given(card, instead),
    }


def _unsaid(path: Path, what: str, example: str) -> DDBenchError:
    return DDBenchError(f"{path} does not say {what}", "its card or layout has no word of it",
                        hint=example)  # fmt: skip


def _rate(found: PortableSet, path: Path) -> str:
    if found.rate is None:
        raise DDBenchError(f"{path} holds no learned step size", hint="leave --learned-rate out")
    return repr(found.rate)


def _still_given(card: Mapping[str, Any], instead: Mapping[str, str]) -> dict[str, str]:
    """Options that the run was given and that bear on evaluation, but for those of a part that is
    exchanged for another one here."""
    roots = {"squeeze", "label_squeeze", "teacher", "student", "evaluate", "relabel"}
    roots -= {root for root, other in instead.items() if other}
    given = card.get("given", {})
    return {path: text for path, text in given.items() if path.partition(".")[0] in roots}


def _plans(
    session: Session, found: PortableSet, flags: dict[str, Any], evaluators: Any
) -> list[Plan]:
    """The method's own cells with the stored images in the place of distillation."""
    from ddbench.config.suite import read_suite
    from ddbench.data.description import describe, find_dataset
    from ddbench.data.real import load_whitening, open_data
    from ddbench.data.stored_set import open_stored_set, open_stored_views
    from ddbench.pipeline.plan import plan
    from ddbench.pipeline.scoring import wanted_statistics

    named = find_dataset(flags["dataset"], session.registry)
    info = describe(named, session.ctx.data_root)
    whitening = None
    if found.pixels == "whitened":
        data, epsilon = open_data(named, session.ctx, session.cache()), found.card["zca"]
        whitening = load_whitening(data, epsilon, session.cache(), session.ctx).on("cpu")
    stored, learned = open_stored_set(found, whitening)
    method = found.card["method"]
    known = method if method in session.registry.names("recipe") else "random"
    came = flags["labels"] == [STORED]
    beside = ["hard" if learned else _told(found)] if came else flags["labels"]
    table = read_suite(
        None, "", {**flags, "labels": beside, "method": [known], "ipc": [max(stored.per_class)]}
    )
    plans = []
    # A card's options and teacher may be of stages that this judgement goes without.
    for made in session.plans(table, evaluators, warn_unused=False):
        if made.cell.method == known:
            labels: Labeller | None = learned if came else None
            if came and labels is None:
                labels = open_stored_views(found, made.cell.recipe.labeller)
            cell = _exchanged(made.cell, stored, labels, found.card)
            plans.append(plan(cell, info, wanted_statistics(evaluators)))
        if made.cell.method != known or (flags["reference"] and method != known):
            # A reference row; also the one whose place a stranger's set took. It shares the options
            # of the set's profile, as far as any of them are left.
            mark = found.card.get("profile") or "" if flags["set"] else ""
            plans.append(replace(made, cell=replace(made.cell, profile=mark)))
    return plans


def _report_unread(teacher: str, plans: list[Plan]) -> None:
    from ddbench.config.unused import Readers

    readers = Readers()
    for made in plans:
        readers.note_teachers(teacher, made.cell, made.info)
    readers.report()


def _told(found: PortableSet) -> str:
    """The labeller as which students are told of the labels of stored views.

    Raises:
        DDBenchError: the set does not say it.
    """
    name = found.card.get("labels")
    if not name or name == STORED:
        raise DDBenchError(
            "the set does not say how students are told of the labels that were stored for views",
            "its card or layout has no word of it",
            hint="`labels` of its card names a labeller, such as fkd",
        )
    return name


def _exchanged(
    cell: Any, stored: StoredSet, labels: Labeller | None, card: Mapping[str, Any]
) -> Any:
    method, crossed = card["method"], cell.student.part != cell.teacher.part
    if labels is not None and cell.protocol.holdout and crossed:
        raise DDBenchError(
            f"protocol '{cell.protocol.name}' holds images out to choose the epoch",
            "labels that came with the set belong to the whole of it",
            hint="--protocol ddbench-v1, or --labels hard",
        )
    known = cell.recipe.name == method
    title = card.get("title") or (cell.recipe.card.title if known else method)
    recipe = replace(
        cell.recipe, distiller=stored, matchers=(), regularizers=(), baseline=False,
        name=method, card=replace(cell.recipe.card, title=title),
        labeller=labels or cell.recipe.labeller,
    )  # fmt: skip
    return replace(
        cell, recipe=recipe, method=card.get("variant") or method,
        profile=card.get("profile") or "",
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    app.command("eval")(eval_)
